"""The verb that trains."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments import console
from deployments.console import Json, LakeUri, Local, Problem, ReleaseName

app = typer.Typer()

_RECIPE = "Recipe: what the preset says, unless given"
_PLACE = "Where it runs"


def _recipe(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=_RECIPE)


def _place(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=_PLACE)


@app.command()
def train(
    context: typer.Context,
    problem: Problem = "brain",
    release: ReleaseName = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="resnet_small, cnn, any timm name, or several joined by +; NAME@96 sees 96 px "
            "(default: what the preset chooses)."
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="fast, default or best, for this many images and this device.")
    ] = "default",
    weights: Annotated[
        Path | None, typer.Option(help="Backbone weights, safetensors or torch's.")
    ] = None,
    weights_sha256: Annotated[
        str, typer.Option(help="Digest of the file, 8 or more characters.")
    ] = "",
    pretrained: Annotated[
        bool, typer.Option(help="Start from weights on this machine: see neuro weights list.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="own, given (the source's), or such as fold-2-of-5.")
    ] = "own",
    folds: Annotated[
        int, typer.Option(help="Cross-validate by group on so many folds, at least 3.")
    ] = 0,
    tune: Annotated[
        int | None, typer.Option(help="Search for a recipe on val by so many trials, at least 2.")
    ] = None,
    size_px: Annotated[int | None, _recipe("Side of the frames; 0 for the problem's.")] = None,
    epochs: Annotated[int | None, _recipe("Passes over the training split.")] = None,
    batch_size: Annotated[int | None, _recipe("Images a step.")] = None,
    optimizer: Annotated[str | None, _recipe("adamw, adam or sgd.")] = None,
    learning_rate: Annotated[float | None, _recipe("Peak of the cycle.")] = None,
    weight_decay: Annotated[float | None, _recipe("Of matrices.")] = None,
    schedule: Annotated[str | None, _recipe("one_cycle or cosine.")] = None,
    warmup: Annotated[float | None, _recipe("Share of steps before the peak.")] = None,
    loss: Annotated[
        str | None, _recipe("weighted, plain, focal, or for two classes binary.")
    ] = None,
    label_smoothing: Annotated[float | None, _recipe("Share given to all classes.")] = None,
    sampler: Annotated[
        str | None, _recipe("shuffled, or balanced: each class equally often.")
    ] = None,
    mixup: Annotated[float | None, _recipe("Alpha; 0 for none.")] = None,
    cutmix: Annotated[float | None, _recipe("Alpha; 0 for none.")] = None,
    clip: Annotated[float | None, _recipe("Largest norm of the gradient; 0 for any.")] = None,
    class_weight_power: Annotated[
        float | None, _recipe("Weight of rare classes: 0 even, 1 by inverse frequency.")
    ] = None,
    head_epochs: Annotated[
        int | None, _recipe("First epochs in which the head alone learns.")
    ] = None,
    freeze: Annotated[int | None, _recipe("First stages that never learn.")] = None,
    layer_decay: Annotated[
        float | None, _recipe("Learning rate of a stage as a share of the next one's.")
    ] = None,
    drop_path: Annotated[
        float | None, _recipe("Chance that the last residual branch is left out.")
    ] = None,
    ema_decay: Annotated[float | None, _recipe("Of the averaged weights.")] = None,
    grow_from: Annotated[float | None, _recipe("First side of the views, as a share.")] = None,
    augment_from: Annotated[float | None, _recipe("First strength of views, as a share.")] = None,
    augment_to: Annotated[float | None, _recipe("Last strength of views, as a share.")] = None,
    patience: Annotated[
        int | None, _recipe("Epochs without a better one before it stops; 0 for never.")
    ] = None,
    seed: Annotated[int | None, _recipe("Of weights, order and views.")] = None,
    device: Annotated[str, _place("auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, _place("Processes that share each batch.")] = 1,
    precision: Annotated[str, _place("auto, bf16 or f32.")] = "auto",
    profile: Annotated[
        bool, typer.Option(help="Record where the time of a step goes, after the training.")
    ] = False,
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Train on a release, write the model package, and register it as challenger.

    Example: neuro train --problem brain --preset fast
    """
    from neuro.models import backbone as models
    from neuro.problems import problem as problems
    from neuro.splits import split_choice
    from neuro.training import config, tuning
    from neuro.training.device import Machine
    from tasks.load.start_weights import StartWeights

    problems.load(problem)
    split_choice.splittings(split, folds)
    tuning.check(tune, folds, model or "")
    if model is not None:
        models.check(model)
    # Every field of a recipe is a flag of its name.
    flags = {field.name: context.params[field.name] for field in fields(config.TrainConfig)}
    changes = {name: value for name, value in flags.items() if value is not None}
    config.choose(preset, changes, images=1, kind="cpu")

    result = console.call(
        "train",
        is_local=local,
        problem=problem,
        release=release,
        preset=preset,
        changes=changes,
        start=StartWeights(
            file=weights.resolve() if weights else None,
            sha256=weights_sha256,
            pretrained=pretrained,
        ),
        machine=Machine(device=device, devices=devices, precision=precision),
        lake=lake,
        split=split,
        folds=folds,
        profile=profile,
        tune=tune,
    )
    console.show(result, as_json=as_json, title="train")
