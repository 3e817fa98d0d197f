"""Steps of drift monitoring: observe reference and window, judge, report, remember, tell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring import history, intake, shown_images, verdicts, weekly_report, windows
from monitoring.intake import Counted, Intake
from monitoring.signals import AUDITED, INTAKE, LABELLED
from monitoring.verdicts import Verdict
from monitoring.weekly_report import Pictures
from monitoring.windows import Observed
from neuro.errors import NeuroError
from neuro.evaluation import evaluate
from neuro.lake import journal, releases
from neuro.lake.lake import Lake
from neuro.prediction import predict
from neuro.problems.problem import Problem
from neuro.promotion import claims, verdict_log
from neuro.promotion.drift_policy import DriftPolicy
from neuro.promotion.verdict_log import Judged
from neuro.reports import contact_sheet, drift_index
from tasks import count_look
from tasks import window as windows_of
from tasks.load import unseen
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts, events, notifications, tracking
from tasks.runtime import settings
from tasks.runtime.steps import step
from tasks.window import Answers, Window

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """Reference and window of one drift check, with their names; note: what was left out.

    rows, called: (window.n,) the window's rows in the release, -1 for what was only asked about,
    and the class index of each answer. reference_rows: (reference.n,) likewise. days: length of
    the window, 0 for that of a release. until: when it ended; of a release, when it is judged.
    intake: what came in the days that were asked about, None for the window of a release.
    """

    reference: Observed
    window: Observed
    reference_name: str
    window_name: str
    note: str
    rows: NDArray[np.int64]
    called: NDArray[np.int64]
    reference_rows: NDArray[np.int64]
    days: float = 0.0
    until: datetime = field(default_factory=lambda: datetime.now(UTC))
    intake: Intake | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Harmless:
    """A window that was steady or looked at: when it ended, how far it was, and what came.

    groups: how many it had.
    """

    until: datetime
    groups: int
    distances: Mapping[str, float]
    counted: Counted | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What the windows of a model are compared with.

    loaded: as the model may be judged on it. seen: (n,) bool, what it was trained on elsewhere.
    rows: (reference.n,) of the reference.
    """

    loaded: Loaded
    model: Model
    seen: NDArray[np.bool_]
    reference: Observed
    rows: NDArray[np.int64]
    name: str

    def compared(self, found: Window) -> Compared:
        """A window beside the reference."""
        return Compared(
            reference=self.reference,
            window=windows_of.observed(self.loaded, self.model, found.answers),
            reference_name=self.name,
            window_name=found.name,
            note="; ".join(filter(None, (self.loaded.left_out, found.note))),
            rows=found.answers.rows,
            called=found.answers.called,
            reference_rows=self.rows,
            days=found.days,
            until=found.until or datetime.now(UTC),
            intake=found.intake,
        )

    def test_rows(self, found: Window) -> NDArray[np.bool_]:
        """Which images of a window have a label of the test split, (n,)."""
        rows, frames = found.answers.rows, self.loaded.frames
        is_test = (frames.splits[rows] == "test") & (frames.targets[rows] >= 0)
        return np.asarray(is_test & (rows >= 0))


def base(loaded: Loaded, model: Model) -> Base:
    """The validation and calibration samples of the model's own release.

    Raises ConfigError where the release is of another preprocess or splitting.
    """
    seen = unseen.by(loaded, unseen.elsewhere(loaded, model))
    loaded = unseen.for_models(loaded, model)
    predict.require_same_preprocess(model.engine, loaded.frames)
    card = model.package.card
    evaluate.require_same_splitting(card, loaded.frames)
    born = str(card.pin["release"])
    answers = _reference(loaded, model, born)
    return Base(
        loaded=loaded,
        model=model,
        seen=seen,
        reference=windows_of.observed(loaded, model, answers),
        rows=answers.rows,
        name=f"validation and calibration of {born}",
    )


@step(name="observe")
def observe(
    loaded: Loaded,
    model: Model,
    window: str | None,
    days: float,
    policy: DriftPolicy,
    *,
    is_counted: bool = True,
) -> Compared:
    """Collect descriptors, probabilities and known labels of reference and window.

    The window is what entered with the release ``window``, a window of days by its name, or what
    was answered in the last ``days``. What the model was trained on in another lake is in neither.
    Labels of the test split in the window are a look, counted unless the same was counted before,
    as where a page is drawn again.
    """
    against = base(loaded, model)
    found = windows_of.find(against.loaded, model, against.seen, window, days, policy)
    n_test = int(against.test_rows(found).sum())
    if n_test and is_counted:
        looks = count_look.count(against.loaded, model, read_by="drift", n=n_test)
        _log.info("window %s has %d labels of the test split: %s", found.name, n_test, looks)
    return against.compared(found)


def _reference(loaded: Loaded, model: Model, born: str) -> Answers:
    """The model's answers to the labelled val and calibration samples of its release."""
    frames = loaded.frames
    held_out = windows.held_out(frames.splits)
    known = held_out[loaded.known_at(born)[held_out] & (frames.targets[held_out] >= 0)]
    honest = predict.answer(model.engine, frames.pixels, rows=known).calibrated
    return Answers(
        rows=known,
        groups=frames.groups[known],
        probabilities=honest.probabilities,
        called=honest.called,
    )


def harmless(loaded: Loaded, model: Model, compared: Compared) -> list[Harmless]:
    """The windows of the model before this one that were harmless, the last first.

    Those that were asked about as many days, since harm was last found: what was called harmless
    before it may have been harm that nobody knew of.
    """
    every = verdict_log.all_of(loaded.lake, loaded.problem.name)
    harm = [each.until for each in every if each.model == model.version and _shows_harm(each)]
    edge = max(harm, default=datetime.min.replace(tzinfo=UTC))
    asked = compared.intake.days if compared.intake else compared.days

    def is_wanted(each: Judged) -> bool:
        is_as_long = asked / 2 <= verdict_log.asked_days(each) <= 2 * asked
        return each.outcome in history.HARMLESS and each.until > edge and is_as_long

    return [
        Harmless(
            until=each.until,
            groups=each.body.get("groups", 0),
            distances=history.distances(each.body.get("signals", ())),
            counted=_counted(each),
        )
        for each in _before(loaded, model, compared, is_wanted)
    ]


def _shows_harm(judged: Judged) -> bool:
    """Whether labels measured harm, or a person says that there is some."""
    is_measured = not _alarms(judged).isdisjoint({LABELLED, AUDITED})
    return judged.outcome == "retrain" and (is_measured or judged.found != "retrain")


def _counted(judged: Judged) -> Counted | None:
    """What came in a judged window, as far as its line says it."""
    came = judged.body.get("intake")
    return Counted(came=Intake(**came), was_unusual=INTAKE in _alarms(judged)) if came else None


@step(name="judge")
def judge(compared: Compared, policy: DriftPolicy, before: Sequence[Harmless] = ()) -> Verdict:
    """Compare with thresholds calibrated on dealt groups, and on harmless windows before."""
    n = compared.window.n_groups  # the same change is more thresholds of a larger window
    alike = [each.distances for each in before if n / 2 <= each.groups <= 2 * n]
    usual = history.usual(alike, policy.chance)
    known = intake.learnt([each.counted for each in before if each.counted])
    came = intake.signal(compared.intake, known, policy) if compared.intake else None
    verdict = verdicts.judge(
        compared.reference,
        compared.window,
        window=compared.window_name,
        reference_name=compared.reference_name,
        policy=policy,
        usual=usual,
        intake=came,
    )
    if compared.note:
        verdict = replace(verdict, reason=f"{verdict.reason} ({compared.note})")
    return verdict


@step(name="hear earlier windows")
def confirm(
    loaded: Loaded, model: Model, compared: Compared, verdict: Verdict, policy: DriftPolicy
) -> Verdict:
    """The verdict once those on earlier windows of the model, and new labels, are heard."""
    before = [
        "steady" if each.outcome == "look" and _alarms(each) == {INTAKE} else each.outcome
        for each in _before(loaded, model, compared)
    ]
    return verdicts.with_history(verdict, before, _groups_to_learn(loaded, model), policy)


def _alarms(judged: Judged) -> set[str]:
    return {each["name"] for each in judged.body.get("signals", ()) if each["alarm"]}


def _before(
    loaded: Loaded,
    model: Model,
    compared: Compared,
    wanted: Callable[[Judged], bool] = lambda _: True,
) -> list[Judged]:
    """The verdicts on the model's windows before one, the last first; of some alone."""
    return verdict_log.before(
        verdict_log.all_of(loaded.lake, loaded.problem.name),
        window=compared.window_name,
        model=model.version,
        days=compared.days,
        at=compared.until,
        wanted=wanted,
    )


def _groups_to_learn(loaded: Loaded, model: Model) -> int:
    """How many groups have a label in a sample that came after the last training's release."""
    born = [str(model.package.card.pin["release"])]
    decided = journal.entries(loaded.lake, "decision")
    born += [
        each.body.get("trained_on", "")
        for each in decided
        if each.body["problem"] == loaded.problem.name
    ]
    frames = loaded.frames
    is_new = (frames.targets >= 0) & (frames.splits != "test")
    for release in born:
        if loaded.releases_until(release):  # else one of another lake, or of a branch
            is_new &= ~loaded.known_at(release)
    return len(np.unique(frames.groups[is_new]))


def page(loaded: Loaded, compared: Compared) -> Path:
    """Where the page of a window lies, or will lie."""
    name = tracking.drift_page(loaded.problem.name, compared.window_name)
    return settings.load().home / "reports" / name


def index(lake: Lake, problem: Problem) -> Path:
    """Draw the page that leads to all drift reports of a problem."""
    path = settings.load().home / "reports" / f"{problem.name}-index.html"
    judged = verdict_log.all_of(lake, problem.name)
    newest = releases.find(lake, problem.dataset)
    return drift_index.draw(path, problem.name, judged, synthetic=newest.is_synthetic)


@step(name="report")
def report(loaded: Loaded, model: Model, compared: Compared, verdict: Verdict) -> Path:
    """Write the Evidently page, and keep it in MLflow beside the model.

    After the verdict is stored: an erasure finds the page by it.
    """
    problem, path = loaded.problem, page(loaded, compared)
    path.parent.mkdir(parents=True, exist_ok=True)
    weekly_report.build(
        weekly_report.table(compared.reference, problem.classes),
        weekly_report.table(compared.window, problem.classes),
        verdict,
        path=path,
        synthetic=loaded.release.is_synthetic,
        pictures=_pictures(loaded, compared),
        before=[
            each
            for each in verdict_log.all_of(loaded.lake, problem.name)
            if each.model == model.version
            and each.window != compared.window_name
            and each.until < compared.until
        ],
    )
    try:
        releases.find(loaded.lake, problem.dataset, loaded.release.name)
    except NeuroError:
        path.unlink()  # an erasure came meanwhile, and this page may show what it has taken
        raise
    index(loaded.lake, problem)
    rows = [artifacts.rounded(asdict(signal)) for signal in verdict.signals]
    title = f"{verdict.verdict}: {verdict.reason}"
    artifacts.label_run(verdict.verdict, name=f"drift {compared.window_name}: {verdict.verdict}")
    artifacts.table("drift-signals", rows, title)
    tags = {"problem": problem.name, "model": model.version, "verdict": verdict.verdict}
    with tracking.run(tracking.drift_experiment(problem.name), compared.window_name, tags) as run:
        tracking.log_files(run, path, "")
        if run.url:
            artifacts.link("drift-report", f"{run.url}/artifacts/{path.name}", "Evidently report")
    return path


def _pictures(loaded: Loaded, compared: Compared) -> list[Pictures]:
    """Images of before and of now, as the model sees them; none where all were only asked about."""
    open_rows = may_be_shown(loaded, compared)
    if not len(open_rows):
        return []
    rows = compared.rows[open_rows]
    shown = shown_images.choose(compared.reference, compared.window.take(open_rows))
    moved = f"by {shown.figure}, which moved most"
    of = {
        f"Typical of the reference, {moved}": compared.reference_rows[shown.before],
        f"Typical of the window, {moved}": rows[shown.now],
        "The most unusual of the window, the strangest first": rows[shown.unusual],
    }
    pixels = loaded.frames.pixels
    return [
        Pictures(title=title, png=contact_sheet.draw(pixels[chosen]))
        for title, chosen in of.items()
    ]


def may_be_shown(loaded: Loaded, compared: Compared) -> NDArray[np.int64]:
    """Row numbers of the window whose images the lake holds, less those of the test split."""
    rows = compared.rows
    is_open = (rows >= 0) & (loaded.frames.splits[rows] != "test")
    return np.flatnonzero(is_open).astype(np.int64)


@step(name="remember and tell")
def remember(
    loaded: Loaded,
    model: Model,
    compared: Compared,
    verdict: Verdict,
    path: Path,
    reference: str,
) -> dict[str, Any]:
    """Store the verdict first, then send the events nobody has claimed yet.

    path: of its page, which is drawn then. reference: how a retraining finds the problem, by name
    or file.
    """
    problem, release = loaded.problem, loaded.release
    cause = claims.verdict_cause(problem.name, verdict.window, model.version, release.name)
    body = asdict(verdict) | {"problem": problem.name, "report": str(path)}
    body |= {"model": model.version, "problem_reference": reference, "days": compared.days}
    body |= {"until": compared.until.isoformat()}
    body |= {"intake": asdict(compared.intake)} if compared.intake else {}
    body |= {"release": release.name, "asked": int((compared.rows < 0).sum())}
    body |= {"images": compared.window.n, "groups": compared.window.n_groups}
    now = datetime.now(UTC)
    stored = verdict_log.record(loaded.lake, cause, body, now)
    sent = events.emit_unclaimed(loaded.lake, problem.name)
    is_snoozed = verdict_log.snooze(verdict_log.all_of(loaded.lake, problem.name), now) is not None
    notifications.of_verdict(body, is_new=stored is not None and not is_snoozed)
    return body | {"cause": stored or cause, "events": sent}
