"""Sign-in through an identity provider: a real one for tests on loopback, and a real Chromium."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import oidc_provider_mock
import pytest
from flask import Response
from joserfc.jwk import KeySet
from oidc_provider_mock import User
from werkzeug.serving import make_server

from deployments.reading_room import oidc
from neuro import people
from neuro.errors import ConfigError
from tasks.runtime import settings
from tests.deployments.reading_room.conftest import Open, Room

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:authlib"),  # of the provider
]

MAIL = "eva@hospital.example"
ISSUER = 'issuer = "https://a.example"'
OTHER_KEYS = KeySet.generate_key_set("RSA", 2048, count=1).as_dict(private=False)["keys"]
UNSIGNED = {"id_token_signing_alg_values_supported": ["none"]}
WHOLE = f'{ISSUER}\nclient_id = "neuro"\nclient_secret = "s"\n'


def name_provider(home: Path, text: str, mode: int = 0o600) -> Path:
    path = home / "oidc.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def unsigned(token: str) -> str:
    """The claims of a token under a header that says that nobody has signed them."""
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


@contextmanager
def provider(changed: dict[str, Any]) -> Iterator[str]:
    """A provider that knows eva, eve, and mallory whose mail nobody has verified.

    changed: fields of what it says of itself, or of its keys; where it signs by none, so does it.
    """
    known = [
        User(sub="eva", claims={"email": MAIL, "email_verified": True}),
        User(sub="mallory", claims={"email": MAIL, "email_verified": False}),
        User(sub="eve", claims={"email": "eve@hospital.example", "email_verified": True}),
    ]
    app = oidc_provider_mock.app(user_claims=known)

    @app.after_request
    def change(answer: Response) -> Response:
        content = answer.json if answer.is_json else {}
        if changed.keys() & content.keys():
            answer.data = json.dumps(content | changed)
        if "id_token" in content and UNSIGNED.items() <= changed.items():
            answer.data = json.dumps(content | {"id_token": unsigned(content["id_token"])})
        return answer

    with make_server("localhost", 0, app, threaded=True) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


Prepare = Callable[..., Room]


@pytest.fixture
def prepare(home: Path, open_room: Open) -> Iterator[Prepare]:
    """prepare(): a room that knows eva as a viewer, and has a provider."""
    with ExitStack() as closing:

        def begin(
            changed: dict[str, Any] | None = None, issuer: str = "", claim: str = "email"
        ) -> Room:
            issuer = issuer or closing.enter_context(provider(changed or {}))
            people.add(home / "people.json", MAIL, "viewer")
            given = f'issuer = "{issuer}"\nclient_id = "neuro"\nclient_secret = "s"\n'
            name_provider(home, f'{given}claim = "{claim}"\n')
            return closing.enter_context(open_room())

        yield begin


def browser_of(room: Room) -> httpx.Client:
    return httpx.Client(base_url=room.url, trust_env=False, timeout=30)


def led_back(client: httpx.Client, who: str, to: str = "/") -> str:
    """Where the provider sends a browser whose person has agreed."""
    begun = client.get("/sign-in/oidc", params={"to": to})
    assert begun.status_code == 302, begun.text
    return httpx.post(begun.headers["location"], data={"sub": who}).headers["location"]


def test_who_the_provider_names_gets_in_as_the_file_of_people_says(prepare: Prepare) -> None:
    room = prepare()
    with browser_of(room) as client:
        assert "your institution" in client.get("/sign-in", params={"to": "/browse"}).text
        answer = client.get(led_back(client, "eva", "/browse"))
        assert (answer.status_code, 'content="0;url=/browse"' in answer.text) == (200, True)
        assert f"{room.cookie}_oidc=null" in ";".join(answer.headers.get_list("set-cookie"))
        assert client.get("/", headers={"accept": "text/html"}).status_code == 200
        people.remove(room.home / "people.json", MAIL)
        assert client.get("/", headers={"accept": "text/html"}).status_code == 303


@pytest.mark.parametrize(
    ("who", "status", "said"),
    [
        ("eve", 403, "You are eve@hospital.example there, and nobody here has that name"),
        ("mallory", 401, "did not say who you are"),
        ("stranger", 401, "did not say who you are"),
    ],
)
def test_who_is_not_known_or_not_verified_stays_outside(
    prepare: Prepare, who: str, status: int, said: str
) -> None:
    room = prepare()
    with browser_of(room) as client:
        answer = client.get(led_back(client, who))
        assert (answer.status_code, said in answer.text) == (status, True)
        assert room.cookie not in client.cookies


def test_an_answer_that_another_browser_asked_for_is_not_taken(prepare: Prepare) -> None:
    room = prepare()
    with browser_of(room) as client, browser_of(room) as other:
        back = led_back(client, "eva")
        led_back(other, "eva")
        assert other.get(back).status_code == 401
        assert client.get(back).status_code == 200
        assert client.get(back).status_code == 401
        assert client.get("/sign-in/oidc/back").status_code == 401  # nobody asked for it
        refused = client.get("/sign-in/oidc/back", params={"error": "access_denied"})
        assert refused.status_code == 401


def test_of_two_tabs_the_one_begun_last_gets_in(prepare: Prepare) -> None:
    room = prepare()
    with browser_of(room) as client:
        first, second = led_back(client, "eva"), led_back(client, "eva")
        assert [client.get(each).status_code for each in (first, second)] == [401, 200]


def test_the_account_that_started_the_room_is_nobody_of_the_provider_s(prepare: Prepare) -> None:
    room = prepare(claim="sub")
    with browser_of(room) as client:
        answer = client.get(led_back(client, settings.user()))
        assert (answer.status_code, "nobody here has that name" in answer.text) == (403, True)


def test_what_a_stranger_writes_is_one_line_of_the_log(
    prepare: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    room = prepare()
    with browser_of(room) as client:
        client.get("/sign-in/oidc/back", params={"error": "x\nneuro: bob is let in \x1b[31m"})
    (said,) = [each.getMessage() for each in caplog.records if "provider failed" in each.message]
    assert "\n" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("claim", ["sub", "preferred_username"])
def test_another_claim_can_be_the_name(prepare: Prepare, claim: str) -> None:
    room = prepare(claim=claim)
    people.add(room.home / "people.json", "eva", "reader")
    with browser_of(room) as client:
        answer = client.get(led_back(client, "eva"))
        assert answer.status_code == (200 if claim == "sub" else 401)


def test_the_way_there_begins_at_the_address_it_comes_back_to(prepare: Prepare) -> None:
    room = prepare()
    with browser_of(room) as client:
        headers = {"host": room.url.removeprefix("http://").replace("127.0.0.1", "localhost")}
        answer = client.get("/sign-in/oidc", params={"to": "/ask"}, headers=headers)
    assert answer.headers["location"] == f"{room.url}/sign-in/oidc?to=%2Fask"


def test_a_provider_that_is_away_leaves_the_password(prepare: Prepare) -> None:
    room = prepare(issuer="http://localhost:9")
    with browser_of(room) as client:
        answer = client.get("/sign-in/oidc")
    assert (answer.status_code, "not reached" in answer.text) == (503, True)
    assert 'name="password"' in answer.text


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200),
        ({"issuer": "https://other.example"}, 503),
        (UNSIGNED, 401),
        ({"keys": OTHER_KEYS}, 401),
        ({"keys": None}, 401),
        ({"authorization_endpoint": 1}, 503),
        ({"id_token": None}, 401),
    ],
)
def test_a_provider_whose_word_cannot_be_checked_is_not_believed(
    prepare: Prepare, changed: dict[str, Any], status: int
) -> None:
    room = prepare(changed)
    with browser_of(room) as client:
        answer = client.get("/sign-in/oidc")
        if answer.status_code == 302:
            agreed = httpx.post(answer.headers["location"], data={"sub": "eva"})
            answer = client.get(agreed.headers["location"])
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (WHOLE, 0o644, "another account can read or replace"),
        (WHOLE.replace("https", "http"), 0o600, "must begin with https"),
        (ISSUER, 0o600, "must hold issuer, client_id"),
        (f"{WHOLE}secret = 1", 0o600, "must hold issuer, client_id"),
        (WHOLE.replace("a.example", "["), 0o600, "must begin with https"),
        (WHOLE.replace("a.example", ""), 0o600, "must begin with https"),
        ("[" * 5000, 0o600, "must hold issuer, client_id"),
        (f"{WHOLE}claim = 1", 0o600, "claim in .* must be a text"),
        (f'{WHOLE}claim = ""', 0o600, "claim in .* must be a text"),
        ("issuer", 0o600, "must hold issuer, client_id"),
    ],
)
def test_a_file_that_names_no_provider_is_refused(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        oidc.read(name_provider(tmp_path, text, mode))


def test_a_room_without_a_provider_has_no_way_there(room: Room) -> None:
    with browser_of(room) as client:
        assert "/sign-in/oidc" not in client.get("/sign-in").text
        assert client.get("/sign-in/oidc").status_code == 401


@pytest.mark.browser
def test_a_person_signs_in_by_the_institution_s_page(browser: "Browser", prepare: Prepare) -> None:
    """The provider is another site to the browser: localhost, and the room 127.0.0.1."""
    room = prepare()
    page = browser.new_context().new_page()
    page.goto(f"{room.url}/browse")
    page.get_by_role("link", name="Sign in with your institution's account").click()
    page.get_by_placeholder("sub").fill("eva")
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_text(f"{MAIL} (viewer)").wait_for(timeout=30_000)
    assert page.url.startswith(f"{room.url}/browse")
