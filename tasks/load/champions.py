"""Which version serves: the journal says so, and the registry's alias mirrors it."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from logging import getLogger

from neuro.errors import DeniedError, StaleError, UnknownNameError
from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.promotion import serving
from neuro.promotion.serving import Change
from tasks.record import registry
from tasks.record.registry import ModelVersion
from tasks.runtime import settings

ALIAS = "alias"  # kind of the line that says that somebody else has moved it

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class MovedAlias:
    """What a person or a program has done in the registry, and the journal has not."""

    problem: str
    alias: str
    serves: str
    since: int


def serving_version(lake: Lake, problem: str) -> ModelVersion | None:
    """The version that serves, or None before the first promotion and without a registry.

    An alias that stands where it was before the last change is moved after it: that change was cut
    off. Any other that the journal knows nothing of is reported, and not followed. A lake whose
    journal has never promoted, such as a second one, has only the alias to go by.
    """
    if not settings.load().mlflow_tracking_uri:
        return None
    alias, changed = registry.champion(problem), serving.changes(lake, problem)
    if not changed:
        if alias is not None:
            _log.warning(
                "the journal of %s knows no promotion of %s: the registry's alias is followed, "
                "version %s",
                *(lake, problem, alias.version),
            )
        return alias
    last = changed[-1]
    found = _known(problem, last)
    if found is None:
        return None
    if alias is None or alias.version == last.previous:
        registry.set_alias(found, "champion")
        _log.warning("the alias of %s was behind the journal: version %s", problem, found.version)
    elif alias.version != found.version:
        _report(
            lake,
            MovedAlias(
                problem=problem, alias=alias.version, serves=found.version, since=last.number
            ),
        )
    return found


def require(lake: Lake, problem: str) -> ModelVersion:
    """The version that serves. Raises UnknownNameError where none does."""
    found = serving_version(lake, problem)
    if found is None:
        raise UnknownNameError(
            f"problem {problem} has no champion; train a model with `neuro train`, and let "
            "`neuro promote` decide"
        )
    return found


def cut_off(lake: Lake, problem: str) -> Change | None:
    """The last change, where the alias was not moved after it."""
    alias, changed = registry.champion(problem), serving.changes(lake, problem)
    if not changed or alias is None or alias.version != changed[-1].previous:
        return None
    return changed[-1]


def require_serving(lake: Lake, problem: str, version: str) -> None:
    """Raise StaleError unless this version serves, "" for none."""
    found = serving_version(lake, problem)
    if (found.version if found else "") != version:
        raise StaleError(
            f"another version of {problem} was promoted meanwhile; run the same command again, "
            "which judges beside that one"
        )


def last_change(lake: Lake, problem: str) -> int:
    """Number of the journal's last line that changed who serves, 0 for none.

    A line that changes it names this one: of two that name the same, the first counts.
    """
    changed = serving.changes(lake, problem)
    return changed[-1].number if changed else 0


def require_counted(lake: Lake, line: Entry) -> None:
    """Raise StaleError unless this line is the last that changed who serves.

    It does not count where somebody else came first.
    """
    problem = line.body["problem"]
    if last_change(lake, problem) != line.number:
        raise StaleError(
            f"another version of {problem} was promoted meanwhile, and nothing moved; run the same "
            "command again, which judges it beside that one"
        )


def _known(problem: str, change: Change) -> ModelVersion | None:
    """The version of a change, if this registry has the very package."""
    try:
        found = registry.find(problem, change.version)
    except UnknownNameError:
        found = None
    if found is None or (change.package and found.digest != change.package):
        _log.warning(
            "version %s of %s serves by the journal, and this registry does not have it: nothing "
            "serves until `neuro promote --model VERSION` decides anew",
            *(change.version, problem),
        )
        return None
    return found


def _report(lake: Lake, moved: MovedAlias) -> None:
    _log.warning(
        "the alias champion of %s was moved to version %s outside neuro, and is not followed: "
        "version %s serves. `neuro promote --model %s` or `neuro rollback` change that",
        *(moved.problem, moved.alias, moved.serves, moved.alias),
    )
    key = f"{moved.problem}/{moved.since}/{moved.alias}"
    try:
        journal.record(lake, ALIAS, key, asdict(moved), datetime.now(UTC))
    except DeniedError as error:  # who may only read has said it
        _log.warning("it is not written into the journal: %s", error)
