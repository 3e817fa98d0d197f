"""Which samples are compared: the reference, and the current window."""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError

# Never train, whose confidences are overfit, and never test, which only evaluation reads.
REFERENCE_SPLITS = ("val", "calibration")

MOST_DAYS = 36_500  # a century: more has no date


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What is known of n samples of one period; row i of each array is one sample.

    groups: (n,) str. descriptors: (n, d) float64. features: (n, r) float64, what the model makes
    of each before it answers, along the axes of its package. probabilities: (n, k) float64,
    calibrated, in class order. confidence: (n,) float64, the probability of what each sample is
    called. correct: (n,) float64, 1 or 0 where a label is known, NaN elsewhere. formats: (n,) str,
    size and pixel mode as the image came, "" where nobody noted it (default: of all).
    Raises ConfigError where the rows do not match or a descriptor or probability is not finite.
    """

    groups: NDArray[np.str_]
    descriptors: NDArray[np.float64]
    features: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]
    formats: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))

    def __post_init__(self) -> None:
        if not len(self.formats):
            object.__setattr__(self, "formats", np.full(len(self.groups), ""))
        rows = {entry.name: len(getattr(self, entry.name)) for entry in fields(self)}
        if len(set(rows.values())) > 1:
            raise ConfigError(f"every array of a window needs one row per sample, got {rows}")
        for name in ("descriptors", "features", "probabilities"):
            values = getattr(self, name)
            if values.ndim != 2:
                raise ConfigError(f"{name} must be a table of two dimensions, got {values.ndim}")
            bad = int((~np.isfinite(values)).any(axis=1).sum())
            if bad:
                raise ConfigError(f"{name}: {bad} of {len(values)} rows hold NaN or infinity")

    @property
    def n(self) -> int:
        """Samples."""
        return len(self.groups)

    @property
    def n_groups(self) -> int:
        """Distinct groups: what a window is worth, as images of one group resemble each other."""
        return len(np.unique(self.groups))

    def take(self, rows: NDArray[np.int64]) -> "Observed":
        """The samples of these row numbers, (m,) int64."""
        return Observed(**{entry.name: getattr(self, entry.name)[rows] for entry in fields(self)})

    def labelled(self) -> "Observed":
        """The samples whose label is known."""
        return self.take(np.flatnonzero(~np.isnan(self.correct)))


def held_out(splits: NDArray[np.str_]) -> NDArray[np.int64]:
    """Rows that may serve as a reference: val and calibration, of (n,) str splits."""
    return np.flatnonzero(np.isin(splits, REFERENCE_SPLITS)).astype(np.int64)


def entered_with(entered: NDArray[np.str_], release: str) -> NDArray[np.int64]:
    """Rows whose (n,) str entry is this release; ConfigError where the delivery brought none."""
    rows = np.flatnonzero(entered == release).astype(np.int64)
    if not len(rows):
        known = ", ".join(np.unique(entered)) or "none"
        raise ConfigError(f"window: no sample entered with release {release!r}; known: {known}")
    return rows


def require_days(days: float) -> None:
    """Raise ConfigError for a number of days that is no length of a window."""
    if not 0 < days <= MOST_DAYS:  # nan, too, is no number of days
        raise ConfigError(f"days must be above 0 and at most {MOST_DAYS}, got {days}")


def recent(
    predicted_at: NDArray[np.datetime64], *, now: datetime, days: float
) -> NDArray[np.int64]:
    """Rows predicted in the ``days`` up to and including ``now``, which needs a time zone.

    predicted_at: (n,) datetime64 in UTC. A prediction from the future is in no window.
    """
    require_days(days)
    offset = now.utcoffset()
    if offset is None:
        raise ConfigError("now must carry a time zone, for example datetime.now(UTC)")
    end = now.replace(tzinfo=None) - offset
    start = np.datetime64(end - timedelta(days=days))
    inside = (predicted_at > start) & (predicted_at <= np.datetime64(end))
    return np.flatnonzero(inside).astype(np.int64)
