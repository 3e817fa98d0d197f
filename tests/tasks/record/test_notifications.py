from pathlib import Path

import pytest

from tasks.record import notifications
from tests.tasks.record.notified import inbox, write_list

VERDICT = {
    "problem": "brain",
    "window": "brain-0002-3f2a9c1b",
    "verdict": "label",
    "reason": "Harm is suspected: border moved most. Only 4 groups are labelled",
    "model": "3",
    "report": "/home/brain-brain-0002-3f2a9c1b.html",
    "signals": [{"name": "descriptors"}],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_verdict_is_told_with_its_reason_what_to_do_and_where_the_report_is(home: Path) -> None:
    with inbox() as webhook:
        write_list(home, f"json://{webhook.address}")
        notifications.of_verdict(VERDICT, is_new=True)
    (message,) = webhook.messages
    assert message["title"] == "neuro: drift of brain, verdict label"
    lines = message["message"].splitlines()
    assert "reason: Harm is suspected: border moved most. Only 4 groups are labelled" in lines
    assert any("neuro worklist fill --problem brain" in line for line in lines)
    assert "report: /home/brain-brain-0002-3f2a9c1b.html" in lines
    assert lines[-1] == "Research use only; not a medical device."


@pytest.mark.parametrize(("verdict", "is_new"), [("steady", True), ("label", False)])
def test_neither_a_steady_verdict_nor_one_that_was_remembered_before_is_told(
    home: Path, verdict: str, *, is_new: bool
) -> None:
    with inbox() as webhook:
        write_list(home, f"json://{webhook.address}")
        notifications.of_verdict(VERDICT | {"verdict": verdict}, is_new=is_new)
    assert webhook.messages == []


def test_what_a_person_typed_as_a_reason_is_not_sent_on(home: Path) -> None:
    """It may name a patient."""
    approval = {"problem": "brain", "version": "2", "previous": "1", "who": "ada"}
    approval |= {"reason": "agrees on patient_0042"}
    with inbox() as webhook:
        write_list(home, f"json://{webhook.address}")
        notifications.of_approval(approval | {"is_promoted": True}, "", left=0, is_new=True)
        notifications.of_approval(approval | {"is_promoted": False}, "", left=1, is_new=True)
        notifications.of_rollback(approval, is_new=True)
    assert [message["title"] for message in webhook.messages] == [
        "neuro: version 2 of brain serves",
        "neuro: version 2 of brain waits for an approval",
        "neuro: version 2 of brain serves",
    ]
    assert "patient_0042" not in str(webhook.messages)


def test_an_address_that_fails_is_a_warning_that_shows_no_secret_and_stops_nothing(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with inbox(500) as webhook:
        write_list(home, f"json://me:s3cret@{webhook.address}/s3cret")
        notifications.of_verdict(VERDICT, is_new=True)
    (record,) = [each for each in caplog.records if each.name.startswith("tasks")]
    assert record.levelname == "WARNING"
    assert f"json://{webhook.address} was not notified" in record.getMessage()
    assert "s3cret" not in record.getMessage()


def test_a_list_that_others_may_read_is_a_warning_and_stops_nothing(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with inbox() as webhook:
        write_list(home, f"json://{webhook.address}").chmod(0o644)
        notifications.of_verdict(VERDICT, is_new=True)
    assert webhook.messages == []
    assert "nobody was notified" in caplog.text
    assert "chmod 600" in caplog.text
