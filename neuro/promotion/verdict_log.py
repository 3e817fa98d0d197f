"""What was judged of a problem's windows, and what persons said of it; the journal has both.

A verdict is never changed: a person's word is a line of its own beside it, and the last word of a
kind counts. While a problem is snoozed, nothing of it starts by itself or sends a message.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.promotion import serving

VERDICT, RESPONSE = "verdict", "response"  # kinds of journal entries
ACKNOWLEDGE, SNOOZE, OVERRULE = "acknowledge", "snooze", "overrule"  # what a person may say
Outcome = Literal["steady", "look", "label", "retrain", "inconclusive"]
TO_OVERRULE = get_args(Outcome)[:-1]
MOST_SNOOZE_DAYS = 90  # whoever wants longer says so again
_OF_DAYS = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)-days-to-\d{4}-\d\d-\d\d")
NEARLY = 0.9  # of a window's length: a schedule may be a little early


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """A person's word on a verdict. until: of a snooze. outcome: of an overruling, else ""."""

    said: str
    who: str
    reason: str
    at: datetime
    until: datetime | None = None
    outcome: str = ""

    def __str__(self) -> str:
        to = f" to {self.outcome}" if self.outcome else ""
        to = f" until {self.until:%Y-%m-%d}" if self.until else to
        return f"{self.said}{to}, by {self.who}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A stored verdict. found: by the monitor. days: length of its window, 0 of a release.

    until: when the window ended, of a release when it was judged. body: the whole line.
    """

    cause: str
    problem: str
    window: str
    model: str
    found: str
    reason: str
    at: datetime
    days: float
    until: datetime
    body: Mapping[str, Any]
    responses: Sequence[Response] = ()

    @property
    def outcome(self) -> str:
        """What holds: the last overruling, else what was found."""
        overruled = [each.outcome for each in self.responses if each.said == OVERRULE]
        return overruled[-1] if overruled else self.found

    @property
    def asked_at(self) -> datetime:
        """When it was found, or a person last said what holds."""
        said = [each.at for each in self.responses if each.said == OVERRULE]
        return max([self.at, *said])

    @property
    def report(self) -> Path:
        """Its page, "-" for none."""
        return Path(str(self.body.get("report") or "-"))

    def row(self) -> dict[str, Any]:
        """What a list of verdicts shows."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "window": self.window,
            "model": self.model,
            "found": self.found,
            "outcome": self.outcome,
            "said": "; ".join(map(str, self.responses)),
            "reason": self.reason,
            "cause": self.cause,
            "report": self.body.get("report", ""),
        }


def all_of(lake: Lake, problem: str) -> list[Judged]:
    """Every verdict on a problem, oldest first."""
    lines = journal.entries(lake, VERDICT, RESPONSE)
    said: dict[str, list[Response]] = {}
    for line in lines:
        if line.kind == RESPONSE:
            said.setdefault(line.body["cause"], []).append(_response(line))
    return [
        _judged(line, said.get(line.body["cause"], ()))
        for line in lines
        if line.kind == VERDICT and line.body["problem"] == problem
    ]


def last(lake: Lake, problem: str, window: str | None = None) -> Judged:
    """The last verdict on a problem, or on a window of it. Raises UnknownNameError for none."""
    every = all_of(lake, problem)
    found = [each for each in every if window in (None, each.window)]
    if found:
        return found[-1]
    if window is None or not every:
        raise UnknownNameError(
            f"no window of {problem} was judged; run `neuro drift --problem {problem}`"
        )
    known = ", ".join(dict.fromkeys(each.window for each in reversed(every[-10:])))
    raise UnknownNameError(f"no verdict on window {window!r} of {problem}; the last are of {known}")


def of_days(lake: Lake, problem: str, window: str, model: str) -> Judged | None:
    """The last verdict of a model on a window of days, None where the name is none of one.

    Raises UnknownNameError for a window of days that was never judged.
    """
    if days_of(window) == 0:
        return None
    every = [each for each in all_of(lake, problem) if each.model == model]
    found = [each for each in every if each.window == window]
    if found:
        return found[-1]
    judged = [each.window for each in reversed(every) if each.days > 0]
    known = ", ".join(dict.fromkeys(judged[:10])) or "none"
    raise UnknownNameError(
        f"model {model[:12]} has judged no window {window!r} of {problem}; the last are {known}"
    )


def days_of(window: str) -> float:
    """The length of a window of days, by its name; 0 for that of a release."""
    named = _OF_DAYS.fullmatch(window)
    return float(named[1]) if named else 0.0


def asked_days(judged: Judged) -> float:
    """The days that were asked about, however many were joined; 0 for a release."""
    return float(judged.body.get("intake", {}).get("days", judged.days))


def until_of(line: Entry) -> datetime:
    """When the window of a verdict ended: of a release, and of older lines, when it was judged."""
    until = line.body.get("until")
    return datetime.fromisoformat(until).astimezone(UTC) if until else line.at


def record(lake: Lake, cause: str, body: Mapping[str, Any], now: datetime) -> str | None:
    """Store a verdict; its cause, or None where the last on the window found the same.

    What is found of a window later, by other labels or another policy, is a line of its own.
    """
    number, key = 1, cause
    while not journal.record(lake, VERDICT, key, {**body, "cause": key}, now):
        following = f"{cause}/{number + 1}"
        is_last = journal.get(lake, VERDICT, following) is None
        if is_last and journal.stored(lake, VERDICT, key).body["verdict"] == body["verdict"]:
            return None
        number, key = number + 1, following
    return key


def respond(lake: Lake, judged: Judged, response: Response) -> None:
    """Write down what a person says of a verdict. Raises ConfigError for what cannot be said."""
    if not response.reason.strip():
        raise ConfigError('say why, for those who come after you: --reason "..."')
    if response.said == OVERRULE and response.outcome not in TO_OVERRULE:
        raise ConfigError(
            f"a verdict is overruled to {', '.join(TO_OVERRULE[:-1])} or {TO_OVERRULE[-1]}, got "
            f"{response.outcome!r}"
        )
    body = {
        "cause": judged.cause,
        "problem": judged.problem,
        "window": judged.window,
        "response": response.said,
        "outcome": response.outcome,
        "until": response.until.isoformat() if response.until else "",
        "who": response.who,
        "reason": response.reason.strip(),
    }
    key = f"{judged.cause}/{response.said}/{response.at.isoformat()}/{response.who}"
    journal.record(lake, RESPONSE, key, body, response.at)


def response(
    said: str, *, who: str, reason: str, now: datetime, days: float | None, outcome: str
) -> Response:
    """A person's word. days: of a snooze. outcome: of an overruling. Raises ConfigError."""
    if days is not None and not 0 < days <= MOST_SNOOZE_DAYS:
        raise ConfigError(
            f"a snooze is of more than 0 and at most {MOST_SNOOZE_DAYS} days, got {days:g}"
        )
    until = None if days is None else now + timedelta(days=days)
    return Response(said=said, who=who, reason=reason, at=now, until=until, outcome=outcome)


def snooze(judged: Sequence[Judged], now: datetime) -> Response | None:
    """The person's word by which a problem is quiet now, None where it is not."""
    said = [each for one in judged for each in one.responses if each.said == SNOOZE]
    last_said = max(said, key=lambda each: each.at, default=None)
    return last_said if last_said and last_said.until and last_said.until > now else None


def wanting(lake: Lake, problem: str, now: datetime) -> list[Judged]:
    """The verdict that asks for a retraining, if one does: the last of them, as one answers all.

    Of a window the last verdict counts, and of models the one that serves. What was asked for
    before the last decision of the gate was answered by it. Persons may have said otherwise.
    """
    every = all_of(lake, problem)
    if snooze(every, now):
        return []
    decisions = journal.entries(lake, serving.DECISION)
    decided = [each.at for each in decisions if each.body["problem"] == problem]
    changed = serving.changes(lake, problem)
    newest = {(each.window, each.model): each for each in every}
    asking = [
        each
        for each in newest.values()
        if each.outcome == "retrain"
        and (not changed or each.model == changed[-1].version)
        and (not decided or each.asked_at > decided[-1])
    ]
    return sorted(asking, key=lambda each: each.asked_at)[-1:]


def refusal(lake: Lake, problem: str, cause: str, now: datetime) -> str | None:
    """Why a person's word keeps a training from starting by itself; None where none does."""
    every = all_of(lake, problem)
    if said := snooze(every, now):
        return f"snoozed: {said}"
    judged = next((each for each in every if each.cause == cause), None)
    if judged is None or judged.outcome == "retrain":
        return None
    overruled = [str(each) for each in judged.responses if each.said == OVERRULE]
    return f"overruled: {overruled[-1]}" if overruled else f"its verdict is {judged.outcome}"


def before(
    judged: Sequence[Judged],
    *,
    window: str,
    model: str,
    days: float,
    at: datetime,
    wanted: Callable[[Judged], bool] = lambda _: True,
) -> list[Judged]:
    """The verdicts on a model's windows before one, the last first; none overlaps another.

    days: length of the window that ends ``at``, 0 of a release. Of a window that was judged again
    the last counts. wanted: others are passed over, and hide none that they overlap.
    """
    mine = [each for each in judged if each.model == model and each.until <= at]
    newest = {each.window: each for each in mine}
    # A release that is judged again is no later one.
    ended = {each.window: each.until for each in (mine if days else reversed(mine))}
    found: list[Judged] = []
    edge = at - timedelta(days=NEARLY * days)
    if not days:
        edge = min([edge, *(each.until for each in mine if each.window == window)])
    for each in sorted(newest.values(), key=lambda each: ended[each.window], reverse=True):
        # A release is another measure of time: it may hold the same images as some days.
        if each.window == window or ended[each.window] > edge or (each.days > 0) is not (days > 0):
            continue
        if not wanted(each):
            continue
        found.append(each)
        edge = ended[each.window] - timedelta(days=NEARLY * each.days)
    return found


def _judged(line: Entry, responses: Sequence[Response]) -> Judged:
    body, window = line.body, line.body.get("window", "")
    return Judged(
        cause=body["cause"],
        problem=body["problem"],
        window=window,
        model=body.get("model", ""),
        found=body["verdict"],
        reason=body.get("reason", ""),
        at=line.at,
        days=body.get("days") or days_of(window),
        until=until_of(line),
        body=body,
        responses=responses,
    )


def _response(line: Entry) -> Response:
    body = line.body
    until = datetime.fromisoformat(body["until"]).astimezone(UTC) if body["until"] else None
    return Response(
        said=body["response"],
        who=body["who"],
        reason=body["reason"],
        at=line.at,
        until=until,
        outcome=body["outcome"],
    )
