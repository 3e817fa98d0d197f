"""Verbs about pretrained weights on this machine: list, show, add, and fetch from the hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments import console
from deployments.console import Json

if TYPE_CHECKING:  # seconds to import
    from neuro.models.weights_store import StoredWeights

app = typer.Typer()
weights_app = typer.Typer(no_args_is_help=True, help="Pretrained weights on this machine.")
app.add_typer(weights_app, name="weights")

NOT_STATED = "not stated"


@weights_app.command("list")
def list_weights(as_json: Json = False) -> None:
    """List the weights in installed packages and in the home; each is checked by its digest.

    Example: neuro weights list
    """
    from neuro.models import weights_store
    from tasks.load import start_weights

    rows = [_facts(entry) for entry in weights_store.entries(start_weights.folder())]
    columns = ("architecture", "sha256", "licence", "size_px", "place", "fault")
    console.show(rows, as_json=as_json, title="weights", columns=columns)


@weights_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Network, or digest of the file (8 or more).")],
    as_json: Json = False,
) -> None:
    """Show what is known of one file: digest, licence, source, side, mean and deviation.

    Example: neuro weights show tf_efficientnet_lite0
    """
    from neuro.models import weights_store
    from tasks.load import start_weights

    _show(weights_store.choose(start_weights.folder(), name), as_json=as_json)


@weights_app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="Weights, safetensors or torch's.")],
    model: Annotated[str, typer.Option(help="The network they are of.")],
    licence: Annotated[str, typer.Option(help="Under which they may be used.")] = "",
    source: Annotated[str, typer.Option(help="Where they are from.")] = "",
    as_json: Json = False,
) -> None:
    """Keep a file of weights for --pretrained, once it is known to fit its network.

    Example: neuro weights add resnet18.safetensors --model resnet18 --licence apache-2.0
    """
    from neuro.models import weights_store
    from tasks.load import start_weights

    kept = weights_store.add(start_weights.folder(), file, model, licence=licence, source=source)
    _show(kept, as_json=as_json)


@weights_app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="Any timm name that has weights.")],
    as_json: Json = False,
) -> None:
    """Fetch timm's weights of a network for --pretrained; the one verb that asks the hub.

    Example: neuro weights fetch resnet18
    """
    from neuro.models import weights_hub
    from tasks.load import start_weights
    from tasks.runtime import settings

    endpoint = settings.load().hub_endpoint or weights_hub.HUB
    _show(weights_hub.fetch(name, start_weights.folder(), endpoint), as_json=as_json)


def _show(entry: "StoredWeights", *, as_json: bool) -> None:
    facts = _facts(entry)
    if not as_json:
        facts["mean"], facts["deviation"] = (
            " ".join(f"{value:g}" for value in facts[name]) for name in ("mean", "deviation")
        )
    console.show(facts, as_json=as_json, title="weights")


def _facts(entry: "StoredWeights") -> dict[str, Any]:
    card = entry.card
    return {
        "sha256": card.sha256,
        "architecture": card.architecture or NOT_STATED,
        "licence": card.licence or NOT_STATED,
        "source": card.source or NOT_STATED,
        "size_px": card.size_px,
        "mean": card.mean,
        "deviation": card.deviation,
        "place": entry.place,
        "file": str(entry.path or ""),
        "fault": entry.fault,
    }
