"""The step that lets an earlier champion serve again, and writes down who wanted it and why."""

from datetime import UTC, datetime
from logging import getLogger
from typing import Any

from neuro.errors import ConfigError
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.prediction import predict
from neuro.problems.problem import Problem
from neuro.promotion import serving
from neuro.promotion.serving import ROLLBACK
from neuro.synthetic import strangers
from tasks.load import models
from tasks.record import artifacts, registry
from tasks.runtime.steps import step

_log = getLogger(__name__)


@step(name="roll back")
def roll_back(lake: Lake, problem: Problem, version: str, reason: str, who: str) -> dict[str, Any]:
    """Let a version serve that served before; "" for the one before the champion.

    It is fetched, verified and asked first, and the journal is written before the alias moves: a
    call that is killed in between does the same when it is given again. Raises ConfigError without
    a reason or a champion, and for a version that never served or serves now.
    """
    if not reason.strip():
        raise ConfigError('a rollback needs a reason: neuro rollback --reason "..."')
    now = registry.champion(problem.name)
    if now is None:
        raise ConfigError(f"problem {problem.name} has no champion, so nothing can be rolled back")
    changed = serving.changes(lake, problem.name)
    wanted = version or serving.before(changed, now.version)
    served = sorted({each.version for each in changed}, key=int)
    if not wanted:
        raise ConfigError(
            f"no champion of {problem.name} came before version {now.version}; "
            "`neuro journal decision` lists who was promoted"
        )
    if wanted == now.version:
        raise ConfigError(f"version {wanted} of {problem.name} serves now")
    if wanted not in served:
        raise ConfigError(
            f"version {wanted} of {problem.name} never served, those that did are "
            f"{', '.join(served)}; `neuro promote --model {wanted}` lets the gate decide"
        )
    model = models.by_version(problem, wanted)
    _require_an_answer(model)
    entry = {
        "problem": problem.name,
        "version": wanted,
        "previous": now.version,
        "who": who,
        "reason": reason,
        "flow_run_id": artifacts.flow_run_id() or "",
    }
    number = len(journal.entries(lake, ROLLBACK)) + 1
    while not journal.record(lake, ROLLBACK, f"{problem.name}/{number}", entry, datetime.now(UTC)):
        number += 1
    registry.set_alias(registry.find(problem.name, wanted), "champion")
    _log.info("version %s of %s serves again, after %s", wanted, problem.name, now.version)
    artifacts.label_run(ROLLBACK, name=f"roll back {problem.name} to version {wanted}")
    return entry


def _require_an_answer(model: models.Model) -> None:
    """Raise PackageError for a model that gives no finite answer."""
    spec = model.package.card.preprocess
    (pixels, *_) = strangers.draw(1, spec.size_px, spec.channels).values()
    predict.predict(model.engine, pixels, ["drawn"], model_version=model.version)
