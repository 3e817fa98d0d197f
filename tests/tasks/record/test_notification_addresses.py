import email
import email.policy
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuro.errors import ConfigError
from tasks.record import notification_addresses as addresses
from tasks.record.notification_addresses import Message
from tests.tasks.record.notified import inbox, mailbox, silence, write_list

TEXT = Message(title="neuro: a title", body="first line\nsecond line <b>", urgency="warning")
SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """All that reaches the handlers of the root logger, as those of a flow run are."""
    lines: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


def test_a_webhook_gets_the_title_and_the_text(tmp_path: Path) -> None:
    with inbox() as webhook:
        listed = addresses.read(write_list(tmp_path, "# team", "", f"json://{webhook.address}"))
        (delivery,) = addresses.send(listed, TEXT)
    assert delivery.is_delivered
    (message,) = webhook.messages
    assert (message["title"], message["message"], message["type"]) == (
        "neuro: a title",
        "first line\nsecond line <b>",
        "warning",
    )


def test_a_mail_server_gets_a_letter_that_shows_the_text_as_it_is(tmp_path: Path) -> None:
    with mailbox() as (server, letters):
        url = f"mailto://{server}?from=neuro@example.org&to=team@example.org&mode=insecure"
        (delivery,) = addresses.send(addresses.read(write_list(tmp_path, url)), TEXT)
    assert delivery.is_delivered, delivery.why
    letter = email.message_from_string(letters[0], policy=email.policy.default)
    assert (letter["subject"], letter["to"]) == ("neuro: a title", "team@example.org")
    text = letter.get_body()
    assert text is not None
    assert text.get_content_type() == "text/plain"
    assert text.get_content().split() == ["first", "line", "second", "line", "<b>"]


def test_an_address_that_refuses_does_not_keep_another_from_its_message(tmp_path: Path) -> None:
    with inbox(404) as refusing, inbox() as taking:
        lines = (f"json://{refusing.address}", f"json://{taking.address}")
        first, second = addresses.send(addresses.read(write_list(tmp_path, *lines)), TEXT)
    assert (first.is_delivered, second.is_delivered) == (False, True)
    assert "404" in first.why


@pytest.mark.slow
def test_servers_that_say_nothing_hold_nobody_up_for_longer_than_the_deadline(
    tmp_path: Path,
) -> None:
    """Each has a patience of a minute, by its own line."""
    with silence() as first, silence() as second:
        lines = [f"json://{address}?cto=60&rto=60" for address in (first, second)]
        begun = time.monotonic()
        deliveries = addresses.send(addresses.read(write_list(tmp_path, *lines)), TEXT)
        seconds = time.monotonic() - begun
    assert [each.why for each in deliveries] == ["no answer within 10 s"] * 2
    assert seconds < addresses.DEADLINE_S + 2


def test_without_a_file_nobody_is_notified(tmp_path: Path) -> None:
    assert addresses.read(tmp_path / "notify.txt") == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_list_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_list(tmp_path, "json://127.0.0.1:1")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:o}.*chmod 600"):
        addresses.read(path)


@pytest.mark.parametrize("line", ["slcak://T0KEN/s3cret", "hook.example/s3cret", "json://"])
def test_a_line_that_is_no_address_is_named_by_its_number_alone(
    tmp_path: Path, line: str, logged: list[str]
) -> None:
    path = write_list(tmp_path, "# two addresses", "json://127.0.0.1:1", line)
    with pytest.raises(ConfigError, match=r"^line 3 of .*notify.txt: .*no address") as refusal:
        addresses.read(path)
    said = " ".join([str(refusal.value).replace(str(path), ""), *logged])
    assert "s3cret" not in said
    assert "T0KEN" not in said


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("jsons://user:s3cret@hooks.example.org/s3cret?+X-Key=s3cret", "jsons://hooks.example.org"),
        (SLACK, "slack://T...2"),
        ("mailtos://user:s3cret@example.org?to=a@b.example", "mailtos://example.org"),
        ("ntfy://s3cret", "ntfys://s...t"),
        ("tgram://123456789:s3cret_s3cret_s3cret_s3cret_s3cret/12315544", "tgram://1...t"),
    ],
)
def test_an_address_is_shown_by_its_scheme_and_host(tmp_path: Path, url: str, name: str) -> None:
    (address,) = addresses.read(write_list(tmp_path, url))
    assert address.name == name
    assert "s3cret" not in repr(address)


def test_what_a_failed_sending_says_has_no_part_of_the_url_but_its_name(
    tmp_path: Path, logged: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Apprise names the mail server, which is not the host of this URL; so could it a token."""
    url = "mailto://me:s3cret@127.0.0.1:1?smtp=localhost&from=me@example.org&to=s3cret@example.org"
    (delivery,) = addresses.send(addresses.read(write_list(tmp_path, url)), TEXT)
    assert delivery.address == "mailto://127.0.0.1:1"
    assert delivery.why.startswith("Connection error while submitting email")
    assert "localhost" not in delivery.why
    captured = capfd.readouterr()
    assert "s3cret" not in " ".join([*logged, captured.out, captured.err])
