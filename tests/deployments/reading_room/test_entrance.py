"""Who gets in: every address without a session is refused, whatever else a browser sends."""

import asyncio
import base64
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.reading_room import reports
from deployments.reading_room.entrance import Entrance
from deployments.reading_room.sessions import Sessions
from deployments.service.directory import Directory
from neuro import people
from tests.deployments.reading_room.conftest import PASSWORD, Open, Room, fill

pytestmark = pytest.mark.server

HTML = {"accept": "text/html"}
PAGES = ("/", "/work", "/ask?x=1")
ELSEWHERE = ("../people.json", "..%2fpeople.json", "a/../../secret.html")


def browser(room: Room) -> httpx.Client:
    return httpx.Client(base_url=room.url, trust_env=False, timeout=30)


@contextmanager
def signed_in(room: Room, name: str) -> Iterator[httpx.Client]:
    with browser(room) as client:
        answer = client.post("/sign-in", data={"name": name, "password": PASSWORD, "to": "/"})
        assert answer.status_code == 303
        yield client


def upgrade(room: Room, **headers: str) -> int:
    """The status of a web socket's handshake."""
    where = httpx.URL(room.url)
    key = base64.b64encode(os.urandom(16)).decode()
    asked = {
        "Host": f"127.0.0.1:{where.port}",
        "Origin": room.url,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
    with socket.create_connection(("127.0.0.1", where.port or 0), timeout=20) as caller:
        caller.sendall(f"GET /_stcore/stream HTTP/1.1\r\n{lines}\r\n".encode())
        return int(caller.recv(64).split()[1])


def test_nothing_is_shown_to_who_is_not_signed_in(room: Room) -> None:
    (room.home / "reports").mkdir(exist_ok=True)
    (room.home / "reports" / "a.html").write_text("a report")
    with browser(room) as client:
        for place in (
            "/",
            "/work",
            "/ask?x=1",
            "/reports/a.html",
            "/_stcore/health",
            "/media/x.png",
        ):
            for headers in ({}, {"x-neuro-reader": "ana"}, {"cookie": f"{room.cookie}=guessed"}):
                answer = client.get(place, headers=headers)
                assert (answer.status_code, answer.text) == (401, '{"detail":"sign in"}'), place
        assert client.get("/", headers=HTML).headers["location"] == "/sign-in?to=%2F"
        assert client.put("/_stcore/upload_file/a/b").status_code == 401
    assert upgrade(room) == 403
    assert upgrade(room, x_neuro_reader="ana") == 403


def test_who_is_signed_in_gets_a_page_and_its_web_socket(room: Room) -> None:
    with signed_in(room, "ana") as client:
        assert client.get("/", headers=HTML).status_code == 200
        cookie = f"{room.cookie}={client.cookies[room.cookie]}"
        assert upgrade(room, Cookie=cookie) == 101
        assert upgrade(room, Cookie=cookie, Origin="http://evil.example") == 403
        assert upgrade(room, Cookie=cookie, Host="evil.example") == 403


def test_a_proxy_before_the_room_is_no_foreign_page(open_room: Open) -> None:
    proxied = {"host": "reading.example", "origin": "https://reading.example"}
    form = {"name": "ana", "password": PASSWORD}
    with open_room(public_url="https://reading.example") as room, browser(room) as client:
        signed = client.post("/sign-in", data=form, headers=proxied)
        assert (signed.status_code, "secure" in signed.headers["set-cookie"].lower()) == (303, True)
        cookie = f"__Host-{room.cookie}={signed.cookies[f'__Host-{room.cookie}']}"
        named = {"Cookie": cookie, "Host": "reading.example"}
        assert upgrade(room, **named, Origin="https://reading.example") == 101
        assert upgrade(room, **named, Origin="http://reading.example") == 403
        assert upgrade(room, **named, Origin="https://evil.example") == 403
        assert client.get("/sign-in", headers={"host": "evil.example"}).status_code == 403


def test_the_cookie_is_kept_from_programs_and_other_sites(room: Room) -> None:
    with browser(room) as client:
        answer = client.post("/sign-in", data={"name": "ana", "password": PASSWORD})
    told = answer.headers["set-cookie"].lower()
    assert "httponly" in told
    assert "samesite=strict" in told


def test_a_foreign_page_signs_nobody_in(room: Room) -> None:
    form = {"name": "ana", "password": PASSWORD}
    with browser(room) as client:
        for origin in ("http://evil.example", "null"):
            assert client.post("/sign-in", data=form, headers={"origin": origin}).status_code == 403


@pytest.mark.parametrize(
    ("to", "leads"),
    [
        ("/work?image=1", "/work?image=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_to_a_page_of_ours(room: Room, to: str, leads: str) -> None:
    with browser(room) as client:
        answer = client.post("/sign-in", data={"name": "ana", "password": PASSWORD, "to": to})
    assert (answer.status_code, answer.headers["location"]) == (303, leads)


@pytest.mark.parametrize(
    ("name", "password"), [("ana", "wrong but long enough"), ("nobody", PASSWORD), ("", "")]
)
def test_a_wrong_name_and_a_wrong_password_are_told_alike(
    room: Room, name: str, password: str
) -> None:
    with browser(room) as client:
        answer = client.post("/sign-in", data={"name": name, "password": password})
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text


def test_guesses_are_bounded(room: Room) -> None:
    with browser(room) as client:
        codes = [
            client.post("/sign-in", data={"name": "ana", "password": f"guess {n}"}).status_code
            for n in range(21)
        ]
    assert codes == [401] * 20 + [429]


def test_what_is_typed_is_never_markup(room: Room) -> None:
    with browser(room) as client:
        page = client.get("/sign-in", params={"to": '/"><script>1</script>'}).text
        assert "<script>" not in page
        assert client.post("/sign-in", content=b"a" * 5000).status_code == 413


def test_signing_out_ends_the_session_for_every_page(room: Room) -> None:
    with signed_in(room, "ana") as client:
        cookie = client.cookies[room.cookie]
        assert client.get("/session").status_code == 200
        assert client.post("/sign-out").status_code == 303
        old = {"cookie": f"{room.cookie}={cookie}"}
        assert client.get("/session", headers=old).status_code == 401
        assert client.get("/", headers=old | HTML).status_code == 303
    assert upgrade(room, Cookie=f"{room.cookie}={cookie}") == 403


def test_who_is_removed_is_out_at_once(room: Room) -> None:
    with signed_in(room, "ana") as client:
        people.remove(room.home / "people.json", "ana")
        assert client.get("/", headers=HTML).status_code == 303


def test_a_page_that_asks_keeps_no_session_and_a_key_or_a_click_does(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched: list[str] = []
    monkeypatch.setattr(Sessions, "touch", lambda _, token: touched.append(token))
    with signed_in(room, "ana") as client:
        assert client.get("/session").status_code == 200
        client.get("/", headers=HTML)
        assert touched == []
        assert client.post("/session").status_code == 200
        assert touched == [client.cookies[room.cookie]]


@pytest.mark.parametrize(
    "name",
    [
        "../people.json",
        "..%2fpeople.json",
        "a/../../secret.html",
        "secret.txt",
        ".hidden.html",
        "gone.html",
    ],
)
def test_nothing_but_reports_is_read(room: Room, name: str) -> None:
    folder = room.home / reports.FOLDER
    folder.mkdir(exist_ok=True)
    (room.home / "secret.html").write_text("a secret")
    (folder / "secret.txt").write_text("a secret")
    (folder / ".hidden.html").write_text("a secret")
    with signed_in(room, "vic") as client:
        answer = client.get(f"/reports/{name}")
        assert "a secret" not in answer.text
        assert "people" not in answer.text


def test_a_report_that_is_a_link_elsewhere_is_not_read(room: Room) -> None:
    folder = room.home / reports.FOLDER
    folder.mkdir(exist_ok=True)
    (room.home / "secret.html").write_text("a secret")
    (folder / "link.html").symlink_to(room.home / "secret.html")
    with signed_in(room, "vic") as client:
        assert client.get("/reports/link.html").status_code == 404


def test_a_report_is_shown_apart_from_our_own_pages(room: Room) -> None:
    folder = room.home / reports.FOLDER / "drift"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "week 1.html").write_text("<script>1</script>")
    with signed_in(room, "vic") as client:
        answer = client.get("/reports/drift/week 1.html")
    assert (answer.status_code, answer.text) == (200, "<script>1</script>")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert reports.place_of(room.home, folder / "week 1.html") == "/reports/drift/week 1.html"
    assert reports.place_of(room.home, Path("/etc/passwd")) == ""


def test_reports_are_found_by_their_kind_and_those_of_a_week_are_of_drift(tmp_path: Path) -> None:
    for name in ("brain-week-1.html", "passport/a.html", "evaluation/brain/b.html"):
        path = tmp_path / reports.FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a report")
    kinds = {path.name: kind for kind, path in reports.all_of(tmp_path)}
    assert kinds == {"brain-week-1.html": "drift", "a.html": "passport", "b.html": "evaluation"}


def test_a_file_of_people_that_others_can_read_lets_nobody_in(room: Room) -> None:
    with signed_in(room, "ana") as client:
        (room.home / "people.json").chmod(0o644)
        answer = client.get("/", headers=HTML)
        assert (answer.status_code, "neuro users list" in answer.text) == (503, True)
    assert upgrade(room) in (403, 503)


def test_a_page_loads_nothing_from_elsewhere_and_stands_in_no_frame(room: Room) -> None:
    with signed_in(room, "ana") as client:
        told = client.get("/", headers=HTML).headers
    assert "frame-ancestors 'none'" in told["content-security-policy"]
    assert "img-src 'self' data: blob:;" in told["content-security-policy"]
    assert told["x-content-type-options"] == "nosniff"


def test_a_report_of_images_that_a_person_is_to_read_waits(room: Room) -> None:
    (sample_id,) = fill(room, 1)
    folder = room.home / reports.FOLDER
    folder.mkdir(exist_ok=True)
    (folder / "passport.html").write_text(f"labelled glioma: {sample_id[:12]}")
    (folder / "other.html").write_text("no image")
    with signed_in(room, "ana") as client:
        answer = client.get("/reports/passport.html")
        assert (answer.status_code, "glioma" in answer.text) == (403, False)
        assert client.get("/reports/other.html").status_code == 200
    with signed_in(room, "vic") as client:
        assert client.get("/reports/passport.html").status_code == 200


def test_a_card_is_read_by_its_digest_and_nothing_else_of_the_packages(room: Room) -> None:
    folder = room.home / "packages"
    (folder / f"{'a' * 16}-card.html").write_text("a card")
    assert reports.card_place(room.home, "a" * 64) == f"/cards/{'a' * 16}"
    assert reports.card_place(room.home, "b" * 64) == ""
    with browser(room) as client:
        assert client.get(f"/cards/{'a' * 16}").status_code == 401
    with signed_in(room, "vic") as client:
        assert client.get(f"/cards/{'a' * 16}").text == "a card"
        for name in ("b" * 16, "%2e%2e%2fpeople.json", f"{'a' * 16}.html"):
            assert client.get(f"/cards/{name}").status_code in (400, 404), name


def test_a_name_that_a_browser_sends_is_not_believed(tmp_path: Path) -> None:
    people.add(tmp_path / "people.json", "vic", "viewer")
    sessions = Sessions(Directory(tmp_path / "people.json"))
    token = sessions.begin(people.read(tmp_path / "people.json")["vic"])

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        named = [value for name, value in scope["headers"] if name.lower() == b"x-neuro-reader"]
        await Response(b" ".join(named))(scope, receive, send)

    async def ask(name: str) -> str:
        transport = httpx.ASGITransport(Entrance(page, sessions))
        async with httpx.AsyncClient(transport=transport, base_url="http://room") as client:
            headers = {name: "bob", "cookie": f"{sessions.cookie}={token}"}
            return (await client.get("/", headers=headers)).text

    for name in ("x-neuro-reader", "X-Neuro-Reader"):
        assert asyncio.run(ask(name)) == "vic"
