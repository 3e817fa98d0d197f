from datetime import datetime, timedelta

import pytest

from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import incidents, journal
from neuro.lake.incidents import Report
from neuro.lake.lake import Lake


def said(reason: str = "it is upside down", problem: str = "brain") -> Report:
    return Report(
        problem=problem,
        sample_id="a" * 64,
        who="ana",
        reason=reason,
        version="3",
        package="f" * 64,
        prediction={"predicted": "glioma"},
    )


def test_the_same_report_of_the_same_person_is_one_incident(lake: Lake, now: datetime) -> None:
    assert [incidents.report(lake, said(), now)[1] for _ in range(2)] == [True, False]
    (found,) = incidents.all_of(lake)
    assert (found.report, found.owner, found.is_open) == (said(), "", True)


def test_what_comes_back_after_its_end_is_another_incident(lake: Lake, now: datetime) -> None:
    first, _ = incidents.report(lake, said(), now)
    incidents.close(lake, first, "mended", "ben", now)
    second, is_new = incidents.report(lake, said(), now)
    assert (is_new, second != first) == (True, True)
    assert incidents.report(lake, said(), now) == (second, False)


def test_incidents_are_listed_by_problem(lake: Lake, now: datetime) -> None:
    for problem in ("brain", "chest"):
        incidents.report(lake, said(problem=problem), now)
    assert [each.report.problem for each in incidents.all_of(lake, "chest")] == ["chest"]


def test_the_last_owner_looks_after_it(lake: Lake, now: datetime) -> None:
    name, _ = incidents.report(lake, said(), now)
    for owner in ("ana", "ben", "ana"):
        found = incidents.assign(lake, name, owner, "admin", now)
    assert found.owner == "ana"
    assert len(journal.entries(lake, incidents.ASSIGNMENT)) == 3


def test_an_incident_ends_once(lake: Lake, now: datetime) -> None:
    name, _ = incidents.report(lake, said(), now)
    ended = incidents.close(lake, name, "told the ward", "ben", now + timedelta(days=1))
    assert (ended.is_open, ended.outcome, ended.ended_by) == (False, "told the ward", "ben")
    with pytest.raises(ConfigError, match="was ended by ben: told the ward"):
        incidents.close(lake, name, "again", "ana", now)
    with pytest.raises(ConfigError, match="was ended by ben"):
        incidents.assign(lake, name, "ana", "ana", now)


def test_an_incident_does_not_end_without_an_outcome(lake: Lake, now: datetime) -> None:
    name, _ = incidents.report(lake, said(), now)
    with pytest.raises(ConfigError, match="ends with an outcome"):
        incidents.close(lake, name, "  ", "ben", now)


def test_the_beginning_of_its_digits_names_it(lake: Lake, now: datetime) -> None:
    name, _ = incidents.report(lake, said(), now)
    digits = name.rpartition("/")[2]
    assert incidents.find(lake, digits[:6]).id == name
    with pytest.raises(UnknownNameError, match="no incident begins"):
        incidents.find(lake, "zzzz")


def test_a_report_of_before_that_has_no_prediction_is_listed(lake: Lake, now: datetime) -> None:
    body = {"problem": "brain", "sample_id": "a" * 64, "version": "1", "package": "f" * 64}
    journal.record(lake, "incident", "brain/12ab", body | {"who": "ana", "reason": "odd"}, now)
    (found,) = incidents.all_of(lake)
    assert (found.report.prediction, found.report.reason) == ({}, "odd")
