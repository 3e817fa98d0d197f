"""The step that lets an earlier champion serve again, and writes down who wanted it and why."""

from datetime import UTC, datetime
from logging import getLogger
from typing import Any

from neuro.errors import ConfigError
from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from neuro.promotion import serving
from neuro.promotion.serving import ROLLBACK
from tasks.load import champions, models
from tasks.record import artifacts, journals, notifications, registry
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
    begun = champions.cut_off(lake, problem.name)
    if begun and begun.is_rollback and begun.reason == reason and version in ("", begun.version):
        lines = journal.entries(lake, ROLLBACK)
        return _done(lake, next(line for line in lines if line.number == begun.number))
    changed = serving.changes(lake, problem.name)  # before it is known what serves
    now = champions.serving_version(lake, problem.name)
    if now is None:
        raise ConfigError(f"problem {problem.name} has no champion, so nothing can be rolled back")
    wanted = version or serving.before(changed, now.version)
    served = sorted({each.version for each in changed}, key=int)
    if not wanted:
        raise ConfigError(
            f"no champion of {problem.name} came before version {now.version}; those that served "
            f"are {', '.join(served)}: name one, as in `neuro rollback {served[-1]}`"
        )
    if wanted == now.version:
        raise ConfigError(f"version {wanted} of {problem.name} serves now")
    if wanted not in served:
        raise ConfigError(
            f"version {wanted} of {problem.name} never served, those that did are "
            f"{', '.join(served)}; `neuro promote --model {wanted}` lets the gate decide"
        )
    model = models.by_version(problem, wanted)
    models.require_an_answer(model)
    entry = {
        "problem": problem.name,
        "version": wanted,
        "package": model.package.digest,
        "previous": now.version,
        "after": changed[-1].number if changed else 0,
        "who": who,
        "reason": reason,
        "flow_run_id": artifacts.flow_run_id() or "",
    }
    key = f"{problem.name}/{entry['after']}/{wanted}"
    is_new = journal.record(lake, ROLLBACK, key, entry, datetime.now(UTC))
    done = _done(lake, journal.stored(lake, ROLLBACK, key))
    notifications.of_rollback(done, is_new=is_new)
    return done


def _done(lake: Lake, line: Entry) -> dict[str, Any]:
    """Move the alias after a line of the journal."""
    champions.require_counted(lake, line)
    problem, version = line.body["problem"], line.body["version"]
    registry.set_alias(registry.find(problem, version), "champion")
    journals.export_head(lake, f"rollback of {problem} to {version}")
    _log.info("version %s of %s serves again, after %s", version, problem, line.body["previous"])
    artifacts.label_run(ROLLBACK, name=f"roll back {problem} to version {version}")
    return line.body
