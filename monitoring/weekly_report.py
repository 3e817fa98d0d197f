"""One page a person can read about a window: our verdict on top, Evidently's figures below."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scipy.stats import ks_2samp

from monitoring.verdicts import Verdict
from monitoring.windows import Observed
from neuro import escaped_names
from neuro.errors import ConfigError
from neuro.features import descriptors
from neuro.promotion.verdict_log import Judged
from neuro.reports import render, verdict_history

if TYPE_CHECKING:
    import pandas as pd

_METHOD = "calibrated_ks"
_NO_THRESHOLD = 1.0  # a gap never exceeds 1: without a calibrated threshold nothing is called drift


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Some images side by side, as PNG."""

    title: str
    png: bytes


def table(observed: Observed, classes: tuple[str, ...]) -> "pd.DataFrame":
    """The columns of the page: each descriptor by name, then ``p_<class>`` in class order.

    Evidently puts a column's name into its page unescaped.
    """
    import pandas as pd

    figures = pd.DataFrame(observed.descriptors, columns=list(descriptors.NAMES))
    names = [f"p_{escaped_names.for_key(name)}" for name in classes]
    outputs = pd.DataFrame(observed.probabilities, columns=names)
    return pd.concat([figures, outputs], axis=1)


def build(
    reference: "pd.DataFrame",
    current: "pd.DataFrame",
    verdict: Verdict,
    *,
    path: Path,
    synthetic: bool,
    pictures: Sequence[Pictures] = (),
    before: Sequence[Judged] = (),
) -> Path:
    """Write the page, whole or not at all, and return its path; it needs no network to be read.

    reference, current: as ``table`` makes them, the same columns in both. pictures: images of both
    periods. before: what was judged
    of the model's earlier windows, oldest first. Slow: Evidently takes 6
    to 30 s to import and a second or two to draw, so never in a web request.
    """
    if not (len(reference) and len(current)):
        raise ConfigError(f"report {path.name}: reference and window need at least one image each")
    body = "<body>"
    head, found, rest = _evidently(reference, current, verdict).partition(body)
    if not found:
        raise ConfigError(f"Evidently's page has no {body}; install evidently 0.7.23")
    summary = render.render(
        "drift_verdict.html",
        verdict=verdict,
        is_synthetic=synthetic,
        pictures=pictures,
        strip=verdict_history.strip(before) if before else None,
        lines=verdict_history.lines(before),
    )
    return render.write(path, head + found + summary + rest)


def _evidently(reference: "pd.DataFrame", current: "pd.DataFrame", verdict: Verdict) -> str:
    """Evidently's drift page, with our statistic and thresholds in place of its defaults.

    Its defaults alarm on most weeks without a shift, and would contradict the verdict above them.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType
    from evidently.presets import DataDriftPreset

    # A preset accepts a test by its registered name alone; registering it again changes nothing.
    test = StatTest(
        name=_METHOD,
        display_name="K-S gap, threshold calibrated by group",
        allowed_feature_types=[ColumnType.Numerical],
        default_threshold=_NO_THRESHOLD,
    )
    register_stattest(test, default_impl=_gap)
    columns = list(reference.columns)
    definition = DataDefinition(numerical_columns=columns)
    preset = DataDriftPreset(
        columns=columns,
        num_method=_METHOD,
        per_column_threshold=_thresholds(columns, verdict),
        drift_share=1 / len(columns),
    )
    snapshot = Report([preset]).run(
        Dataset.from_pandas(current, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )
    page: str = snapshot.get_html_str(as_iframe=False)
    return page


def _thresholds(columns: list[str], verdict: Verdict) -> dict[str, float]:
    calibrated = {signal.name: signal.threshold for signal in verdict.signals}
    descriptor = calibrated.get("descriptors", _NO_THRESHOLD)
    output = calibrated.get("softmax", _NO_THRESHOLD)
    return {name: output if name.startswith("p_") else descriptor for name in columns}


def _gap(
    reference: "pd.Series[float]", current: "pd.Series[float]", _kind: object, threshold: float
) -> tuple[float, bool]:
    gap = float(ks_2samp(reference, current, method="asymp").statistic)
    return gap, gap > threshold
