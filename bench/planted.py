"""What the gate does with models that were made worse on purpose, beside what they truly lose.

A champion of phantoms serves. Each planted model is judged by the flow ``promote``, on a copy of
the lake, so that no look of one counts for another; pages are not drawn, nor baselines scored. Its
true losses are the champion's figures less its own, on phantoms of another seed. A forged package
comes from the registry, another from a folder, whose decision moves nothing.
"""

import argparse
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from unittest.mock import patch

from bench.worse_models import kinds, scene, true_losses
from bench.worse_models.kinds import HONEST, PLANTED, Kind
from bench.worse_models.scene import Scene
from bench.worse_models.true_losses import Loss
from flows.promote import promote
from neuro.errors import NeuroError
from neuro.models import package_manifest
from neuro.promotion.retrain_envelope import Envelope
from tasks import baselines, evaluation_page
from tasks import evaluate as evaluation
from tasks import promote as steps
from tasks.load import models
from tasks.record import registry, signing_keys

ASKED_KINDS = 20
IMAGES, HELD_BACK = 2400, 2000
BESIDE = 50  # images of train and val that are scored, which no gate looks at
REFUSED = "refused"  # with an error, before the gate
CONFIG = Envelope().promotion


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What happened to a model. by: the gates that it did not pass, or the name of the error.

    losses: none of one that does not answer.
    """

    name: str
    decision: str
    by: tuple[str, ...]
    reason: str
    losses: tuple[Loss, ...]

    @property
    def exceeds(self) -> list[str]:
        """Which of its true losses are more than a gate allows."""
        return [loss.name for loss in self.losses if loss.exceeds]

    @property
    def is_let_through(self) -> bool:
        """Whether it was promoted although it is worse than a gate allows."""
        return self.decision == "promote" and bool(self.exceeds)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"exceeds": self.exceeds}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench planted", description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help="phantoms in the lake")
    parser.add_argument("--held-back", type=int, default=HELD_BACK, help="phantoms for the truth")
    parser.add_argument("--kinds", nargs="+", help="parts of their names; default: all")
    parser.add_argument("--scratch", type=Path, help="folder for lakes and packages")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    chosen = [
        kind
        for kind in (*HONEST, *PLANTED)
        if not options.kinds or any(part in kind.name for part in options.kinds)
    ]
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    show: Callable[[str], None] = (lambda _line: None) if options.json else _say
    with (
        tempfile.TemporaryDirectory(dir=options.scratch) as scratch,
        patch.object(evaluation_page, "draw", return_value=None),
        patch.object(baselines, "score", return_value={}),
        patch.object(evaluation, "BESIDE", BESIDE),
    ):
        os.environ |= {
            "NEURO_HOME": scratch,
            "NEURO_LAKE": f"{scratch}/lake",
            "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        }
        judged = _judged(Path(scratch), chosen, options, show)
    told = _told(judged)
    if options.json:
        print(json.dumps(told, indent=1))
        return
    _summary(judged, told)


def _say(line: str) -> None:
    print(line, flush=True)


def _judged(
    scratch: Path, chosen: Sequence[Kind], options: argparse.Namespace, show: Callable[[str], None]
) -> list[Judged]:
    started = perf_counter(), process_time()
    start = scene.start(scratch, images=options.images, epochs=kinds.EPOCHS)
    held_back = true_losses.hold_back(start, scene.draw(options.held_back, seed=1))
    champion = held_back.figures(start.champion.folder)
    if champion is None:
        raise SystemExit("the champion does not answer")
    first = _promote(start)
    if not first["is_promoted"]:
        raise SystemExit(f"the champion was not promoted: {first['reason']}")
    rows = start.loaded.frames.labelled("test")
    groups = len(set(start.loaded.frames.groups[rows].tolist()))
    show(
        f"champion: {first['reason']}; true macro-F1 {champion[1].macro_f1:.3f}, answered "
        f"{champion[1].answered:.2f}, covered {champion[1].covered:.2f}; {groups} test groups, "
        f"{len(held_back.phantoms)} held-back phantoms, twins of none in the lake"
    )
    show(_header())
    found = []
    for number, kind in enumerate(chosen):
        folder = kind.make(start, scratch / "made" / f"{number:02d}")
        figures = held_back.figures(folder)
        floors = start.loaded.problem.recall_floors
        lost = true_losses.losses(figures, champion, CONFIG, floors) if figures else ()
        found.append(_judge(start, kind, folder, scratch / "lakes" / str(number), lost))
        show(_row(found[-1]))
    wall, cpu = perf_counter() - started[0], process_time() - started[1]
    show(f"{wall:.0f} s, {cpu:.0f} s of a core")
    return found


def _promote(start: Scene) -> dict[str, Any]:
    """Let the champion serve, by the gate; it alone is signed."""
    signing_keys.require()
    package_manifest.sign(start.champion.folder, signing_keys.folder())
    version = scene.register(start.champion.folder, start.loaded.problem.name).version
    model = steps.check(models.by_version(start.loaded.problem, version))
    looked = evaluation.evaluate(start.loaded, model)
    return steps.promote(start.loaded, looked, None, Envelope(), steps.BY_HAND)


def _judge(start: Scene, kind: Kind, folder: Path, lake: Path, losses: tuple[Loss, ...]) -> Judged:
    shutil.copytree(start.loaded.lake.uri, lake)
    try:
        if kind.is_forged:
            folder = _from_registry(start, kind, folder)
        entry = promote.fn(problem=start.question, model=str(folder), lake=str(lake))
    except NeuroError as error:
        return Judged(
            name=kind.name,
            decision=REFUSED,
            by=(type(error).__name__,),
            reason=str(error).replace(f"{lake.parent.parent}/", ""),
            losses=losses,
        )
    finally:
        shutil.rmtree(lake)
    return Judged(
        name=kind.name,
        decision=entry["decision"],
        by=tuple(gate["name"] for gate in entry["gates"] if not gate["passed"]),
        reason=entry["reason"],
        losses=losses,
    )


def _from_registry(start: Scene, kind: Kind, folder: Path) -> Path:
    """The folder of a package that somebody has registered for this problem."""
    version = scene.register(folder, start.loaded.problem.name)
    fetched = registry.fetch(version)
    if kind.tamper:
        kind.tamper(fetched.folder)
    return models.by_version(start.loaded.problem, version.version).package.folder


def _header() -> str:
    names = ("macro-F1", "answered", "in scope", "covered", "log loss", "calibr.", "subgroup")
    columns = "".join(f"{name:>10}" for name in (*names, "strangers", "slower", "larger", "recall"))
    return f"\nlosses beside the champion; ! beyond the limit of a gate\n{'':34}{'':13}{columns}"


def _row(judged: Judged) -> str:
    figures = "".join(f"{f'{loss.value:.2f}' + '!' * loss.exceeds:>10}" for loss in judged.losses)
    return f"{judged.name:34}{judged.decision:13}{figures or ' does not answer'}  {_by(judged)}"


def _by(judged: Judged) -> str:
    by = ", ".join(judged.by)
    return f"{by}: {judged.reason[:110]}" if judged.decision == REFUSED else by


def _told(judged: Sequence[Judged]) -> dict[str, Any]:
    """What ``--json`` prints. planted_promoted: those beyond a limit; harmless: the other ones."""
    honest = {kind.name for kind in HONEST}
    planted = [each for each in judged if each.name not in honest]
    promoted = [each for each in planted if each.decision == "promote"]
    return {
        "planted": len(planted),
        "planted_promoted": sum(each.is_let_through for each in promoted),
        "let_through": [each.name for each in promoted if each.is_let_through],
        "harmless": [each.name for each in promoted if not each.is_let_through],
        "honest": {each.name: each.decision for each in judged if each.name in honest},
        "kinds": {each.name: each.as_dict() for each in judged},
    }


def _summary(judged: Sequence[Judged], told: dict[str, Any]) -> None:
    without = sorted({loss.name for each in judged for loss in each.losses if loss.limit is None})
    print(
        f"\nplanted: {told['planted']}, asked at least {ASKED_KINDS}\n"
        f"promoted beyond a limit: {told['planted_promoted']}, asked 0"
        f"{_list(told['let_through'])}\n"
        f"promoted, and within each limit: {len(told['harmless'])}{_list(told['harmless'])}\n"
        f"no gate has a limit yet of: {', '.join(without) or 'none'}"
    )
    for each in judged:
        if each.name in told["honest"]:
            print(f"{each.name}: {each.decision}; {each.reason}")


def _list(names: Sequence[str]) -> str:
    return f" ({'; '.join(names)})" if names else ""
