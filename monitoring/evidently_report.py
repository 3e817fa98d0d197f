"""One page a person can read about a window: our verdict on top, Evidently's figures below."""

import html
import tempfile
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from scipy.stats import ks_2samp

from monitoring.verdicts import Verdict
from monitoring.windows import Observed
from neuro.errors import ConfigError
from neuro.features import descriptors

if TYPE_CHECKING:
    import pandas as pd

_METHOD = "calibrated_ks"
_NO_THRESHOLD = 1.0  # a gap never exceeds 1: without a calibrated threshold nothing is called drift

_HEAD = Template("""
<title>$title</title>
<style>
  .neuro {font: 16px/1.5 system-ui, sans-serif; color: #1b1b1f; max-width: 1100px;
          margin: 0 auto; padding: 24px}
  .neuro .banner {background: #8a1c1c; color: #fff; padding: 8px 16px; font-weight: 600}
  .neuro .synthetic {background: #5b4a00; margin-top: 4px}
  .neuro .verdict {font-size: 22px; margin: 24px 0 8px}
  .neuro .word {padding: 2px 12px; border-radius: 4px; background: #e7e7ee; font-weight: 700}
  .neuro .steady {background: #cdebd3} .neuro .retrain {background: #f6c6c6}
  .neuro .label, .neuro .look {background: #fbe7b5}
  .neuro table {border-collapse: collapse; width: 100%; margin: 16px 0}
  .neuro td, .neuro th {border-bottom: 1px solid #ccc; padding: 6px 10px; text-align: left}
  .neuro td.number {font-variant-numeric: tabular-nums}
  .neuro tr.alarm {background: #fdeeee}
</style>
<section class="neuro">
  <div class="banner" role="note">Research use only, not a medical device</div>
  $synthetic
  <h1>$title</h1>
  <p class="verdict">Verdict: <span class="word $outcome">$outcome</span></p>
  <p>$reason</p>
  <table>
    <thead><tr><th>Signal</th><th>Statistic</th><th>Threshold</th><th>False-alarm rate</th>
    <th>Alarm</th><th>What was seen</th></tr></thead>
    <tbody>$rows</tbody>
  </table>
  <p>The signals above decide the verdict. Their thresholds come from dealing the groups (patients,
  lesions, twins) of both periods out anew; the false-alarm rate was measured on deals that set no
  threshold. Below, Evidently shows each column for reading: its score is the Kolmogorov-Smirnov
  gap, and its threshold is that of the signal the column belongs to.</p>
</section>
""")
_ROW = Template(
    '<tr class="$kind"><td>$name</td><td class="number">$statistic</td>'
    '<td class="number">$threshold</td><td class="number">$rate</td><td>$alarm</td>'
    "<td>$explanation</td></tr>"
)


def table(observed: Observed, classes: tuple[str, ...]) -> "pd.DataFrame":
    """The columns of the page: each descriptor by name, then ``p_<class>`` in class order."""
    import pandas as pd

    figures = pd.DataFrame(observed.descriptors, columns=list(descriptors.NAMES))
    outputs = pd.DataFrame(observed.probabilities, columns=[f"p_{name}" for name in classes])
    return pd.concat([figures, outputs], axis=1)


def build(
    reference: "pd.DataFrame",
    current: "pd.DataFrame",
    verdict: Verdict,
    *,
    path: Path,
    synthetic: bool,
) -> Path:
    """Write the page, whole or not at all, and return its path; it needs no network to be read.

    reference, current: as ``table`` makes them, the same columns in both. Slow: Evidently takes 6
    to 30 s to import and a second or two to draw, so never in a web request.
    """
    if not (len(reference) and len(current)):
        raise ConfigError(f"report {path.name}: reference and window need at least one image each")
    body = "<body>"
    before, found, after = _evidently(reference, current, verdict).partition(body)
    if not found:
        raise ConfigError(f"Evidently's page has no {body}; install evidently 0.7.23")
    page = before + found + _summary(verdict, synthetic=synthetic) + after
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".report-") as folder:
        whole = Path(folder) / path.name
        whole.write_text(page, encoding="utf-8")
        whole.replace(path)
    return path


def _summary(verdict: Verdict, *, synthetic: bool) -> str:
    rows = (
        _ROW.substitute(
            kind="alarm" if signal.alarm else "quiet",
            name=html.escape(signal.name),
            statistic=f"{signal.statistic:.3f}",
            threshold=f"{signal.threshold:.3f}",
            rate=f"{signal.false_alarm_rate:.1%}",
            alarm="yes" if signal.alarm else "no",
            explanation=html.escape(signal.explanation),
        )
        for signal in verdict.signals
    )
    return _HEAD.substitute(
        title=html.escape(f"{verdict.window} against {verdict.reference}"),
        synthetic='<div class="banner synthetic">Synthetic images</div>' if synthetic else "",
        outcome=verdict.verdict,
        reason=html.escape(verdict.reason),
        rows="".join(rows) or '<tr><td colspan="6">Too few groups to compute a signal</td></tr>',
    )


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
