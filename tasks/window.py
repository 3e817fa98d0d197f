"""The window of a drift check: what a model has answered lately, in batches and to who asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring import windows
from monitoring.intake import Intake
from monitoring.windows import Observed
from neuro.errors import ConfigError
from neuro.features import descriptors
from neuro.lake import features, images, quarantine, requests
from neuro.prediction import predict
from neuro.prediction import stored as predictions
from neuro.promotion import verdict_log
from neuro.promotion.drift_policy import DriftPolicy
from tasks import featurize
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.runtime import settings

FEATURES = "model"  # the feature set: what a package makes of images, along its axes


def _none() -> NDArray[np.float64]:
    return np.empty((0, 1))  # of no image, and therefore of any width


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """Answers about n images, one of each.

    rows: (n,) int64 in the release, -1 where an image was only asked about. groups: (n,) str.
    probabilities: (n, k) float64. called: (n,) int64, class index. asked_descriptors: (m, d)
    float64, of those that were only asked about, in their order; asked_features: (m, r) float64,
    what the model made of them.
    """

    rows: NDArray[np.int64]
    groups: NDArray[np.str_]
    probabilities: NDArray[np.float64]
    called: NDArray[np.int64]
    asked_descriptors: NDArray[np.float64] = field(default_factory=_none)
    asked_features: NDArray[np.float64] = field(default_factory=_none)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Window:
    """Answers of some time, and what it is called. days: its length, 0 for that of a release.

    until: when it ended, None for that of a release. intake: what came in the days that were asked
    about, however many were joined; None for that of a release, and where the model is younger.
    """

    name: str
    answers: Answers
    days: float = 0.0
    until: datetime | None = None
    intake: Intake | None = None
    note: str = ""


def find(
    loaded: Loaded,
    model: Model,
    seen: NDArray[np.bool_],
    window: str | None,
    days: float,
    policy: DriftPolicy,
) -> Window:
    """What entered with a release, a window of days that this model has judged, or the last days.

    window: the name of one of the first two. Raises ConfigError for one that nobody knows.
    """
    if window is None:
        return of_days(loaded, model, seen, days, policy, datetime.now(UTC))
    if earlier := verdict_log.of_days(loaded.lake, loaded.problem.name, window, model.version):
        alone = replace(policy, accumulate=1)  # what was joined then is one window now
        asked = verdict_log.asked_days(earlier)
        return of_days(loaded, model, seen, earlier.days, alone, earlier.until, asked)
    return of_release(loaded, model, seen, window)


def of_release(loaded: Loaded, model: Model, seen: NDArray[np.bool_], release: str) -> Window:
    """What entered with a release and was predicted. seen: (n,) bool, what the model had seen.

    Raises ConfigError for a release that nobody knows, and where nothing is left.
    """
    windows.entered_with(loaded.entered(), release)  # names a window nobody knows
    known = _known(loaded, model)
    chosen, note = _unseen(known[known["window"] == release], loaded, model, seen, release)
    return Window(name=release, answers=_answers(chosen, loaded, model), note=note)


def of_days(
    loaded: Loaded,
    model: Model,
    seen: NDArray[np.bool_],
    days: float,
    policy: DriftPolicy,
    now: datetime,
    asked_days: float | None = None,
) -> Window:
    """What was answered in the days up to ``now``, in batches or to who asked, and is news to it.

    Where that is fewer images or groups than the policy wants, the days before are taken, too.
    asked_days: over which what came is counted, None for ``days``.
    """
    windows.require_days(days)
    since = now - timedelta(days=min(days * policy.accumulate, windows.MOST_DAYS))
    clock = max(now, datetime.now(UTC))
    until_now = None if now >= clock - timedelta(minutes=1) else now
    known = _known(loaded, model, asked_since=since, asked_until=until_now)
    at = known["at"].dt.tz_convert(None).to_numpy()
    # What the model was trained on is no news, and would hide the drift of what came later.
    trained = str(model.package.card.pin["release"])
    learnt = loaded.frames.sample_ids[loaded.known_at(trained)]
    is_news = ~known["sha256"].isin(learnt.tolist()).to_numpy()
    until = np.datetime64(now.replace(tzinfo=None))
    oldest = at[is_news].min() if is_news.any() else until
    most = min(policy.accumulate, int(windows.MOST_DAYS // days))
    for n in range(1, max(1, most) + 1):
        recent = windows.recent(at, now=now, days=n * days)
        chosen = known.iloc[recent[is_news[recent]]].drop_duplicates("sha256")
        groups = chosen["group"].nunique()
        start = until - np.timedelta64(timedelta(days=n * days))
        if (len(chosen) >= policy.min_images and groups >= policy.min_groups) or oldest > start:
            break
    asked, came = asked_days or days, None
    if oldest <= until - np.timedelta64(timedelta(days=asked)):
        lately = windows.recent(at, now=now, days=asked)
        came = _came(loaded, known.iloc[lately[is_news[lately]]], asked, now)
    name = f"{n * days:g}-days-to-{now:%Y-%m-%d}"
    if len(recent) and chosen.empty:
        raise ConfigError(
            f"the {len(recent):,} images that model {model.version[:12]} predicted in the last "
            f"{n * days:g} days are of release {trained}, which it was trained on; ingest what "
            "came since, and run `neuro predict`"
        )
    chosen, note = _unseen(chosen, loaded, model, seen, name)
    joined = f"{n} windows of {days:g} days joined: fewer had less than {policy.min_images} images "
    joined = f"{joined}or {policy.min_groups} groups" if n > 1 else ""
    ahead = int((at > np.datetime64(clock.replace(tzinfo=None))).sum())
    late = f"{ahead} answers are dated ahead of this clock, and are in no window" if ahead else ""
    return Window(
        name=name,
        answers=_answers(chosen, loaded, model),
        days=n * days,
        until=now,
        intake=came,
        note="; ".join(filter(None, (joined, late, note))),
    )


def _came(loaded: Loaded, answered: pd.DataFrame, days: float, now: datetime) -> Intake:
    """What was counted in the days up to ``now``."""
    since = now - timedelta(days=days)
    refused = quarantine.n_arrived(loaded.lake, loaded.problem.dataset, since, now)
    return Intake(days=days, images=int(answered["sha256"].nunique()), refused=refused)


def first_answer(loaded: Loaded, model: Model) -> datetime | None:
    """When the model first answered; None where it never did."""
    lake, problem = loaded.lake, loaded.problem
    stored = predictions.rows(lake, problem, model.version, ["sha256", "predicted_at"])
    batches = pc.min(stored["predicted_at"]).as_py()
    asked = requests.first_answer(lake, problem.dataset, problem.name, model.version)
    return min(filter(None, (batches, asked)), default=None)


def observed(loaded: Loaded, model: Model, answers: Answers) -> Observed:
    """What is known of images that a model has answered.

    What the model makes of images is stored in the lake as a feature set; what is missing of it is
    computed first.
    """
    rows, called, is_sample = answers.rows, answers.called, answers.rows >= 0
    targets = np.where(is_sample, loaded.frames.targets[rows], -1)
    ids = loaded.frames.sample_ids[rows[is_sample]].tolist()
    figures = np.empty((len(rows), len(descriptors.NAMES)))
    if ids:  # else all were only asked about
        figures[is_sample] = features.read(
            loaded.lake, featurize.DESCRIPTORS, featurize.DESCRIPTORS_HASH, ids
        )
    figures[~is_sample] = answers.asked_descriptors
    seen = np.empty((len(rows), len(model.package.card.calibration.reference.axes)))
    if ids:
        seen[is_sample] = _features(loaded, model, rows[is_sample])
    seen[~is_sample] = answers.asked_features
    facts = images.facts(loaded.lake, loaded.release, ids) if ids else {}
    formats = np.full(len(rows), "", object)  # of any length, until all are known
    formats[is_sample] = [images.format_of(facts[name]) for name in ids]
    correct = np.where(targets >= 0, called == targets, np.nan)
    return Observed(
        groups=answers.groups,
        descriptors=figures,
        features=seen,
        probabilities=answers.probabilities,
        confidence=answers.probabilities[np.arange(len(called)), called],
        correct=correct.astype(np.float64),
        formats=formats.astype(np.str_),
    )


def _features(loaded: Loaded, model: Model, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where samples lie on the axes of a package, (n, r)."""
    card, ids = model.package.card, loaded.frames.sample_ids[rows].tolist()
    digest, reference = model.package.digest, card.calibration.reference
    if not len(reference.axes):  # of a package that learnt from fewer than ten images
        return np.empty((len(rows), 0))
    lacking = set(features.missing(loaded.lake, FEATURES, digest, ids))
    if lacking:
        wanted = rows[[sample_id in lacking for sample_id in ids]]
        _, embeddings = predict.outputs(model.engine, loaded.frames.pixels, rows=wanted)
        along = reference.along(embeddings).astype(np.float32)
        names = loaded.frames.sample_ids[wanted].tolist()
        made_by = {"encoder_hash": digest, "preprocess_hash": card.preprocess.sha256}
        made_by |= {"code_revision": settings.load().revision}
        features.add(loaded.lake, FEATURES, dict(zip(names, along, strict=True)), made_by)
    return features.read(loaded.lake, FEATURES, digest, ids)


def _known(
    loaded: Loaded,
    model: Model,
    asked_since: datetime | None = None,
    asked_until: datetime | None = None,
) -> pd.DataFrame:
    """What a model has answered: samples of the release, and what a service was asked since then.

    asked_since: None for nothing that was only asked. asked_until: None for up to now. Columns
    sha256, probabilities, predicted, at, window, row and group; of what was asked also descriptors
    and embedding. An image of no patient that we know is a group of its own; the images of one case
    are one.
    """
    lake, problem = loaded.lake, loaded.problem
    columns = ["sha256", "probabilities", "predicted", "predicted_at", "window"]
    found = predictions.rows(lake, problem, model.version, columns).to_pandas()
    found = found.rename(columns={"predicted_at": "at"})
    found["is_asked"], found["own_group"] = False, ""
    if asked_since is not None:
        asked = _asked(loaded, model, asked_since, asked_until)
        found = pd.concat([found, asked], ignore_index=True) if len(asked) else found
    rows = loaded.rows_of(found["sha256"].tolist())
    found["row"] = rows
    found["group"] = np.where(rows >= 0, loaded.frames.groups[rows], found["own_group"])
    is_shown = (rows >= 0) | found["is_asked"].to_numpy(np.bool_)  # not what left the release
    shown: pd.DataFrame = found[is_shown]
    return shown


def _asked(loaded: Loaded, model: Model, since: datetime, until: datetime | None) -> pd.DataFrame:
    """What a service was asked and the model answered, with what is measured of such images."""
    lake, problem = loaded.lake, loaded.problem
    found = requests.answers(lake, problem.dataset, problem.name, model.version, since, until)
    asked = found.to_pandas()
    width = len(model.package.card.calibration.reference.mean)
    asked = asked[asked["descriptors"].map(len) == len(descriptors.NAMES)]
    asked = asked[asked["embedding"].map(len) == width]
    is_case = asked["route"] == "case"
    asked["own_group"] = asked["sha256"].where(~is_case, asked["id"].str.rsplit("-", n=1).str[0])
    asked["is_asked"] = True
    described: pd.DataFrame = asked
    return described


def _unseen(
    chosen: pd.DataFrame, loaded: Loaded, model: Model, seen: NDArray[np.bool_], name: str
) -> tuple[pd.DataFrame, str]:
    """Without what the model had seen elsewhere, and a note on that; ConfigError for nothing."""
    n_predicted = len(chosen)
    chosen = chosen[~chosen["sha256"].isin(loaded.frames.sample_ids[seen].tolist())]
    n_left = n_predicted - len(chosen)
    if chosen.empty and n_predicted:
        raise ConfigError(
            f"of window {name} model {model.version[:12]} was trained on everything; take a window "
            "that it has not seen"
        )
    if chosen.empty:
        raise ConfigError(
            f"window {name} has no prediction by model {model.version[:12]}; run `neuro predict`"
        )
    return chosen, (
        f"{n_left} of {n_predicted} images of the window left out, trained on" if n_left else ""
    )


def _answers(chosen: pd.DataFrame, loaded: Loaded, model: Model) -> Answers:
    rows = chosen["row"].to_numpy(np.int64)
    place: Mapping[str, int] = {name: i for i, name in enumerate(model.package.card.classes)}
    only_asked = chosen.iloc[np.flatnonzero(rows < 0)]
    asked = {}
    if len(only_asked):
        embeddings = np.stack(only_asked["embedding"].to_list())
        figures = np.stack(only_asked["descriptors"].to_list())
        asked["asked_descriptors"] = figures.astype(np.float64)
        asked["asked_features"] = model.package.card.calibration.reference.along(embeddings)
    return Answers(
        rows=rows,
        groups=chosen["group"].to_numpy(np.str_),
        probabilities=np.stack(chosen["probabilities"].to_list()).astype(np.float64),
        called=np.array([place[name] for name in chosen["predicted"]], dtype=np.int64),
        **asked,
    )
