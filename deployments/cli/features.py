"""Verbs about features: featurize, features, similar."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deployments import console
from deployments.console import Json, LakeUri, Local, Problem, ReleaseName
from neuro.problems import problem as problems

if TYPE_CHECKING:
    from neuro.features.feature_set import Choice

app = typer.Typer()
features_app = typer.Typer(no_args_is_help=True, help="Feature sets: vectors of every image.")
app.add_typer(features_app, name="features")

SetName = Annotated[
    str,
    typer.Option("--set", help="descriptors, thumb, pixels_pca, embedding or embedding_NAME."),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        help="For --set embedding: a timm name, a version or a package (default: champion).",
    ),
]
Weights = Annotated[Path | None, typer.Option(help="A local safetensors file for an architecture.")]
Pretrained = Annotated[
    bool,
    typer.Option("--pretrained", help="The weights on this machine: see neuro weights list."),
]
Precision = Annotated[
    Literal["bf16", "f32"] | None, typer.Option(help="Of an embedding (default: the fastest).")
]


@app.command()
def featurize(
    features: SetName = "descriptors",
    problem: Problem = "brain",
    model: ModelName = "",
    weights: Weights = None,
    pretrained: Pretrained = False,
    precision: Precision = None,
    release: ReleaseName = None,
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Compute what is missing of a feature set.

    Example: neuro featurize --set embedding --model tf_efficientnet_lite0 --pretrained
    """
    if model and Path(model).is_dir():  # a flow may run in another folder
        model = str(Path(model).resolve())
    result = console.call(
        "featurize",
        is_local=local,
        problem=problem,
        features=features,
        model=model,
        weights=str(weights.resolve()) if weights else "",
        precision=precision or "",
        pretrained=pretrained,
        release=release,
        lake=lake,
    )
    console.show(result, as_json=as_json, title="features")


@features_app.command("list")
def features_list(lake: LakeUri = None, as_json: Json = False) -> None:
    """List the feature sets of a lake, and which encoders made them.

    Example: neuro features list --json
    """
    from neuro.lake import features

    rows = [
        {"set": facts.pop("name"), "images": facts.pop("n"), **facts}
        for facts in map(asdict, features.sets(console.open_lake(lake)))
    ]
    short = ("set", "encoder_hash", "width", "images")
    console.show(rows, as_json=as_json, columns=short)


@features_app.command("show")
def features_show(
    features: Annotated[str, typer.Argument(metavar="SET", help="Name of the set.")],
    problem: Problem = "brain",
    model: ModelName = "",
    weights: Weights = None,
    pretrained: Pretrained = False,
    precision: Precision = None,
    release: ReleaseName = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the training frame as of the release, in Parquet.")
    ] = None,
    with_test: Annotated[
        bool, typer.Option("--with-test", help="The test split as well; nothing may be fitted on.")
    ] = False,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Say what made a set and how much of a release it covers; write its training frame.

    Example: neuro features show descriptors --problem brain --out frame.parquet
    """
    from neuro.lake import releases
    from neuro.lake.point_in_time import FITTED
    from neuro.sample import SPLITS
    from tasks import training_frame

    choice = _choice(features, model, weights, precision, pretrained=pretrained)
    there, question = console.open_lake(lake), problems.load(problem)
    with console.only_results_on_stdout():
        pinned = releases.find(there, question.dataset, release)
        facts = training_frame.show(there, question, pinned, choice)
        if out is not None:
            splits = SPLITS if with_test else FITTED
            facts |= training_frame.write(there, question, pinned, choice, splits, out)
    if as_json:
        console.show(facts, as_json=True)
        return
    console.say(f"{facts['set']} of {facts['release']}, {facts['samples']} samples")
    _say_weights(facts)
    if out is not None:
        console.say(f"{facts['rows']} rows of {facts['splits']} in {facts['frame']}")
    short = ("encoder_hash", "preprocess_hash", "width", "images", "covered", "is_current")
    console.show(facts["made_by"], as_json=False, columns=short)


@features_app.command("suspects")
def features_suspects(
    features: Annotated[str, typer.Argument(metavar="SET", help="An embedding that is stored.")],
    problem: Problem = "brain",
    model: ModelName = "",
    weights: Weights = None,
    pretrained: Pretrained = False,
    precision: Precision = None,
    release: ReleaseName = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """List the labels of a release that an embedding does not bear out; nothing is changed.

    Example: neuro features suspects embedding --model tf_efficientnet_lite0 --pretrained
    """
    from neuro.lake import releases
    from tasks import label_suspects

    choice = _choice(features, model, weights, precision, pretrained=pretrained)
    there, question = console.open_lake(lake), problems.load(problem)
    with console.only_results_on_stdout():
        pinned = releases.find(there, question.dataset, release)
        facts = label_suspects.find(there, question, pinned, choice)
    if as_json:
        console.show(facts, as_json=True)
        return
    console.say(f"{facts['set']} of {facts['release']}: {len(facts['suspects'])} labels to look at")
    _say_weights(facts)
    short = ("sample_id", "score", "label", "suggested", "source_name")
    console.show(facts["suspects"], as_json=False, columns=short)


@app.command()
def similar(
    asked: Annotated[
        str, typer.Argument(metavar="SAMPLE|FILE", help="A digest, a source name or an image file.")
    ],
    features: Annotated[
        str,
        typer.Option(
            "--set",
            help="As of featurize (default: embedding_tf_efficientnet_lite0, pretrained, where the "
            "whole release has it, else thumb).",
        ),
    ] = "",
    n: Annotated[int, typer.Option("-n", help="How many cases.")] = 8,
    problem: Problem = "brain",
    model: ModelName = "",
    weights: Weights = None,
    pretrained: Pretrained = False,
    precision: Precision = None,
    release: ReleaseName = None,
    out: Annotated[Path | None, typer.Option(help="Page to write, with the pictures.")] = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Find the nearest cases of a release, with their labels; a file is vetted and never stored.

    Example: neuro similar scan.png --set thumb -n 8 --out similar.html
    """
    from tasks import similar as steps

    choice = _choice(features, model, weights, precision, pretrained=pretrained)
    there, question = console.open_lake(lake), problems.load(problem)
    with console.only_results_on_stdout():
        wanted = steps.SearchConfig(choice=choice, release=release, n=n)
        found = steps.search(there, question, asked, wanted)
        page = str(steps.draw(there, question, found, out)) if out else ""
    facts = found.as_dict(question) | {"page": page}
    if as_json:
        console.show(facts, as_json=True)
        return
    console.say(f"{facts['set']} of {facts['release']}{f', page {page}' if page else ''}")
    _say_weights(facts)
    short = ("sample_id", "cosine", "label", "split", "group_id")
    console.show(facts["cases"], as_json=False, columns=short)


def _say_weights(facts: dict[str, Any]) -> None:
    if "weights" in facts:
        licence = facts.get("weights_licence")
        of = f", SHA-256 {facts['weights_sha256']}, licence {licence}" if licence else ""
        console.say(f"weights: {facts['weights']}{of}")


def _choice(
    features: str, model: str, weights: Path | None, precision: str | None, *, pretrained: bool
) -> "Choice":
    from neuro.features.feature_set import Choice

    return Choice(
        features=features,
        model=model,
        weights=str(weights or ""),
        precision=precision or "",
        pretrained=pretrained,
    )
