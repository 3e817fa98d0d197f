"""Who gets in, how often, and with how much."""

import base64
import http.client
import json
import os
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from deployments.service import connections, serve
from deployments.service import routes as routing
from deployments.service import service as services
from deployments.service.config import MOST_BYTES, ServiceConfig
from deployments.service.directory import Directory
from deployments.service.sign_in import OPEN
from neuro import people
from neuro.errors import ConfigError, UnknownNameError
from tests.deployments.service.conftest import TOKEN, Live, Start, lake_of

pytestmark = pytest.mark.server

PASSWORD = "a long enough password"  # noqa: S105


def everybody(home: Path) -> Path:
    return home / "people.json"


def routes(served: Live) -> list[tuple[str, str]]:
    page = served.send("GET", "/openapi.json").json()
    known = [(method, path) for path, facts in page["paths"].items() for method in facts]
    return [*known, ("get", "/openapi.json"), ("get", "/metrics")]


def test_every_route_but_two_asks_who_is_there(served: Live) -> None:
    asked = routes(served)
    assert len(asked) == 9
    for method, path in asked:
        for token in ("", "neuro_wrong"):
            status = served.send(method, path, token).status_code
            assert status == (200 if path in OPEN else 401), (method, path)
    for path in ("/docs", "/v1/nothing", "//readyz/", "/readyz/../metrics", "/%72eadyz/"):
        assert served.send("GET", path, "neuro_wrong").status_code == 401, path


@pytest.mark.parametrize(
    ("role", "may"), [("viewer", False), ("reader", True), ("approver", True), ("admin", True)]
)
def test_a_role_decides_what_may_be_asked(
    served: Live, home: Path, images: list[bytes], role: str, may: bool
) -> None:
    people.add(everybody(home), "ana", role)
    token = people.new_token(everybody(home), "ana")
    assert served.send("GET", "/v1/models", token).status_code == 200
    answer = served.ask(images[0], token=token)
    assert answer.status_code == (200 if may else 403)
    if not may:
        assert answer.json()["detail"] == "ana is a viewer; this needs a reader"


def test_who_is_removed_may_ask_nothing_from_now_on(served: Live, home: Path) -> None:
    people.add(everybody(home), "ana", "reader", people.hashed(PASSWORD))
    token, basic = people.new_token(everybody(home), "ana"), ("ana", PASSWORD)
    assert served.send("GET", "/v1/models", token).status_code == 200
    header = {"authorization": f"Basic {base64.b64encode(':'.join(basic).encode()).decode()}"}
    for _ in range(2):  # the second time it is remembered
        assert served.send("GET", "/v1/models", headers=header).status_code == 200
    people.remove(everybody(home), "ana")
    assert served.send("GET", "/v1/models", token).status_code == 401
    assert served.send("GET", "/v1/models", headers=header).status_code == 401


def test_guesses_of_a_password_end_after_some_tries_and_keep_out_nobody_else(
    served: Live, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.add(everybody(home), "ana", "reader", people.hashed(PASSWORD))
    token = people.new_token(everybody(home), "ana")
    monkeypatch.setattr(people, "is_password", lambda *_: False)
    header = {"authorization": f"Basic {base64.b64encode(b'ana:wrong').decode()}"}
    answers = [served.send("GET", "/v1/models", headers=header) for _ in range(22)]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1
    for known in (TOKEN, token):
        assert served.send("GET", "/v1/models", known).status_code == 200
    assert answers[-1].json()["detail"].endswith("of wrong passwords for this name")
    figures = served.send("GET", "/metrics").text
    assert 'neuro_refused_total{status="401"} 20.0' in figures
    assert 'neuro_model{problem="brain"' in figures


def test_the_page_for_programs_says_how_one_signs_in(served: Live) -> None:
    page = served.send("GET", "/openapi.json").json()
    assert set(page["components"]["securitySchemes"]) == {"bearer", "basic"}
    for path, operations in page["paths"].items():
        for operation in operations.values():
            assert bool(operation["security"]) == (path not in OPEN)


def test_guesses_that_come_at_once_are_counted_before_they_are_checked(
    served: Live, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def slow(person: object, password: str) -> bool:
        checked.append(password)
        time.sleep(0.05)
        return False

    people.add(everybody(home), "ana", "reader", people.hashed(PASSWORD))
    monkeypatch.setattr(people, "is_password", slow)

    def guess(number: int) -> None:
        basic = base64.b64encode(f"ana:{number}".encode()).decode()
        served.send("GET", "/v1/models", headers={"authorization": f"Basic {basic}"})

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(checked) <= 20


def test_a_password_that_was_changed_while_it_was_checked_is_not_remembered(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.add(everybody(home), "ana", "reader", people.hashed(PASSWORD))
    directory, known = Directory(everybody(home)), people.is_password

    def meanwhile(*given: object) -> bool:
        people.remove(everybody(home), "ana")
        people.add(everybody(home), "ana", "admin", people.hashed("another long password"))
        assert directory.by_token("x") is None  # it reads the file again
        return known(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as changing:
        changing.setattr(people, "is_password", meanwhile)
        directory.by_password("ana", PASSWORD)
    assert directory.remembered("ana", PASSWORD) is None
    assert directory.by_password("ana", PASSWORD) is None


def test_a_hash_that_cannot_be_read_is_nobodys_password(home: Path) -> None:
    people.add(everybody(home), "ana", "reader", people.hashed(PASSWORD))
    text = everybody(home).read_text()
    person = next(iter(people.read(everybody(home)).values()))
    everybody(home).write_text(text.replace(person.password, "$argon2id$x"))
    found = people.read(everybody(home))["ana"]
    assert not people.is_password(found, PASSWORD)


def talk(served: Live, said: bytes, seconds: float) -> bytes:
    """What comes back on a connection until it ends, or the time is over."""
    where, end, back = urlsplit(served.url), time.monotonic() + seconds, b""
    with socket.create_connection((where.hostname, where.port), timeout=seconds) as asking:
        asking.sendall(said)
        while time.monotonic() < end:
            try:
                part = asking.recv(4096)
            except (TimeoutError, ConnectionError):
                return back + b" open" if time.monotonic() >= end else back
            if not part:
                return back
            back += part
    return back


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n"])
def test_a_connection_that_does_not_say_what_it_wants_is_closed(
    served: Live, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    begun = time.monotonic()
    assert talk(served, said, 5) == b""
    assert time.monotonic() - begun < 4


def test_after_an_answer_the_next_head_must_come_in_time(
    served: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    where = urlsplit(served.url)
    with socket.create_connection((where.hostname, where.port), timeout=5) as asking:
        asking.sendall(f"GET /healthz HTTP/1.1\r\nhost: {where.netloc}\r\n\r\n".encode())
        back = b""
        while not back.endswith(b'{"alive":true}'):
            back += asking.recv(4096)
        asking.sendall(b"GET /heal")
        assert asking.recv(4096) == b""


def test_a_head_without_an_end_is_refused(served: Live) -> None:
    where = urlsplit(served.url)
    line = b"x-a: " + bytes(1000).replace(b"\0", b"a") + b"\r\n"
    back = talk(served, f"GET / HTTP/1.1\r\nhost: {where.netloc}\r\n".encode() + line * 200, 5)
    assert back.startswith(b"HTTP/1.1 400")


def test_one_connection_too_many_takes_the_place_of_one_that_says_nothing(
    served: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 8)
    where = urlsplit(served.url)
    silent = [socket.create_connection((where.hostname, where.port)) for _ in range(20)]
    try:
        for _ in range(5):
            assert served.send("GET", "/healthz").status_code == 200
    finally:
        for each in silent:
            each.close()


def test_a_text_that_is_no_form_is_small(served: Live) -> None:
    many = "{" + ",".join(f'"k{number}":1' for number in range(20_000)) + "}"
    assert served.send("POST", "/v1/feedback", content=many).status_code == 413


def test_slow_bodies_that_have_not_come_keep_out_nobody(
    served: Live, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = urlsplit(served.url)
    head = (
        f"POST /v1/predictions HTTP/1.1\r\nhost: {where.netloc}\r\n"
        f"authorization: Bearer {TOKEN}\r\ntransfer-encoding: chunked\r\n"
        "content-type: multipart/form-data; boundary=b\r\n\r\n5\r\n--b\r\n\r\n"
    )
    slow = [socket.create_connection((where.hostname, where.port)) for _ in range(6)]
    try:
        for each in slow:
            each.sendall(head.encode())
        assert served.ask(images[0]).status_code == 200
    finally:
        for each in slow:
            each.close()


def test_a_viewer_is_refused_before_a_byte_of_a_body_is_read(served: Live, home: Path) -> None:
    people.add(everybody(home), "ana", "viewer")
    token, where = people.new_token(everybody(home), "ana"), urlsplit(served.url)
    head = (
        f"POST /v1/feedback HTTP/1.1\r\nhost: {where.netloc}\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: 9999\r\n\r\n"
    )
    assert talk(served, head.encode(), 2).startswith(b"HTTP/1.1 403")


def test_a_name_that_is_no_field_is_not_repeated(served: Live) -> None:
    said = {"sample_id": "0" * 64, "label": "glioma", "x" * 500: 1}
    answer = served.send("POST", "/v1/feedback", json=said)
    assert (answer.status_code, "xxx" in answer.text) == (422, False)


@pytest.mark.parametrize(
    "word",
    [
        "/home/ana/x",
        "at:/home/ana/x",
        "[/home/ana/x]",
        "tmp/home/lake/requests.lance/_versions",
        "HTTPConnectionPool(host='10.0.0.5',",
        "C:\\data",
        "~/x",
        "s3://lake",
    ],
)
def test_a_place_of_the_machine_is_not_told(word: str) -> None:
    assert routing.plain(f"it is {word} there") == "it is ... there"


def test_a_file_of_people_that_others_may_read_lets_nobody_in(served: Live, home: Path) -> None:
    people.add(everybody(home), "ana", "reader")
    token = people.new_token(everybody(home), "ana")
    everybody(home).chmod(0o640)
    answer = served.send("GET", "/v1/models", token)
    assert answer.status_code == 503
    assert str(home) not in answer.text
    everybody(home).chmod(0o600)
    assert served.send("GET", "/v1/models", token).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}],
)
def test_a_foreign_name_or_page_may_not_ask(served: Live, headers: dict[str, str]) -> None:
    assert served.send("GET", "/v1/models", headers=headers).status_code == 403
    assert served.send("GET", "/healthz", headers=headers).status_code == 403


def test_who_asks_too_often_waits_and_others_do_not(start: Start, model: str, home: Path) -> None:
    people.add(everybody(home), "ana", "viewer")
    token = people.new_token(everybody(home), "ana")
    with start(models=[Path(model)], rate="3/minute") as served:
        statuses = [served.send("GET", "/v1/models").status_code for _ in range(5)]
        assert statuses == [200] * 3 + [429] * 2
        assert served.send("GET", "/v1/models").headers["retry-after"]
        assert served.send("GET", "/v1/models", token).status_code == 200


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(served: Live) -> None:
    where = urlsplit(served.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    connection.putrequest("POST", "/v1/predictions")
    connection.putheader("authorization", f"Bearer {TOKEN}")
    connection.putheader("content-type", "multipart/form-data; boundary=b")
    connection.putheader("content-length", str(MOST_BYTES + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["detail"].startswith("at most 64 MB a request")


def test_a_body_that_grows_too_large_is_refused_on_the_way(served: Live) -> None:
    def grows() -> object:
        yield b'--b\r\ncontent-disposition: form-data; name="files"; filename="x"\r\n\r\n'
        for _ in range(70):
            yield bytes(1 << 20)

    answer = served.send(
        "POST",
        "/v1/predictions",
        content=grows(),
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code == 413
    assert served.send("GET", "/v1/models").status_code == 200


def test_who_is_not_known_sends_no_body(served: Live) -> None:
    """The answer comes before a byte of it."""
    where = urlsplit(served.url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as asking:
        asking.sendall(
            f"POST /v1/predictions HTTP/1.1\r\nhost: {where.netloc}\r\n"
            f"content-length: {MOST_BYTES}\r\n\r\n".encode()
        )
        assert asking.recv(64).startswith(b"HTTP/1.1 401")


def test_too_many_images_under_way_are_refused_and_the_others_answered(
    served: Live, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MOST_WAITING", 4)
    statuses: list[int] = []

    def client() -> None:
        statuses.append(served.ask(*images[:4]).status_code)

    threads = [threading.Thread(target=client) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 429}
    assert 1 <= statuses.count(200) < 12
    assert served.ask(images[0]).status_code == 200


def test_a_message_names_no_place_of_this_machine(served: Live, home: Path) -> None:
    for method, path in routes(served):
        answer = served.send(method, path, content=b"{")
        assert str(home) not in answer.text
        assert answer.status_code < 500, (path, answer.text)


def test_a_token_is_made_where_there_is_none_and_kept(tmp_path: Path) -> None:
    made = serve.token_of(tmp_path / "token")
    assert serve.token_of(tmp_path / "token") == made
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ConfigError, match="another account can read or replace"):
        serve.token_of(tmp_path / "token")
    (tmp_path / "link").symlink_to(tmp_path / "token")
    with pytest.raises(ConfigError, match="another account can read or replace"):
        serve.token_of(tmp_path / "link")


@pytest.mark.parametrize("text", ["", "short", "two words of which each is long enough, truly"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(ConfigError, match="holds no token of 32 letters"):
        serve.token_of(tmp_path / "token")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"rate": "often"}, "rate must be like 600/minute"),
        ({"port": 80}, "port must be within"),
        ({"models": [Path("nowhere")]}, "is no package folder"),
    ],
)
def test_a_service_that_cannot_be_is_refused(field: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ServiceConfig(**field)


def run(*words: str, stdin: str = "") -> dict[str, object]:
    done = CliRunner().invoke(app, ["users", *words, "--json"], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_people_are_added_listed_given_tokens_and_removed(home: Path) -> None:
    first = run("add", "ana", "--role", "approver", "--password", stdin=f"{PASSWORD}\n")
    assert (first["name"], first["role"]) == ("ana", "approver")
    second = run("token", "ana")
    listed = [{"name": "ana", "role": "approver", "tokens": 2, "has_password": True}]
    assert run("list") == listed
    known = people.read(everybody(home))
    assert {people.digest(str(made["token"])) for made in (first, second)} == {*known["ana"].tokens}
    assert str(first["token"]) not in everybody(home).read_text()
    assert people.is_password(known["ana"], PASSWORD)
    assert run("token", "ana", "--end-others")["ended"] == 2
    assert run("list")[0]["tokens"] == 1  # type: ignore[index]
    run("remove", "ana")
    assert people.read(everybody(home)) == {}
    assert everybody(home).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (("add", "ana", "--role", "boss"), ConfigError, "role must be one of viewer, reader"),
        (("add", "../ana"), ConfigError, "a name is letters"),
        (("remove", "eve"), UnknownNameError, "nobody is called 'eve'"),
        (("token", "eve"), UnknownNameError, "nobody is called 'eve'"),
    ],
)
def test_a_person_who_cannot_be_is_refused(
    home: Path, words: tuple[str, ...], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        run(*words)
    assert people.read(everybody(home)) == {}


def test_a_short_password_and_a_name_that_is_taken_are_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="12 letters or more"):
        run("add", "ana", "--password", stdin="short\n")
    with pytest.raises(ConfigError, match="12 letters or more"):
        run("add", "ana", "--password")
    assert people.read(everybody(home)) == {}
    run("add", "ana")
    with pytest.raises(ConfigError, match=r"ana is there already.*users remove ana"):
        run("add", "ana")


def test_two_who_change_the_file_at_once_lose_nothing(home: Path) -> None:
    threads = [
        threading.Thread(target=people.add, args=(everybody(home), f"p{number}", "reader"))
        for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(people.read(everybody(home))) == 16


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"people": [{"name": "ana"}]}', '{"people": [1]}']
)
def test_a_file_that_is_none_of_people_is_said(home: Path, text: str) -> None:
    home.mkdir()
    everybody(home).write_text(text)
    everybody(home).chmod(0o600)
    with pytest.raises(ConfigError, match="is no file of people"):
        people.read(everybody(home))


def test_a_link_in_place_of_the_file_is_not_followed(home: Path, tmp_path: Path) -> None:
    people.add(tmp_path / "theirs.json", "eve", "admin")
    home.mkdir()
    everybody(home).symlink_to(tmp_path / "theirs.json")
    with pytest.raises(ConfigError, match="another account can read or replace"):
        people.read(everybody(home))


def test_a_wrong_password_takes_as_long_for_nobody(home: Path) -> None:
    person = people.add(everybody(home), "ana", "reader", people.hashed(PASSWORD))
    seconds = []
    for each in (person, None):
        begun = time.process_time()
        assert not people.is_password(each, "wrong password")
        seconds.append(time.process_time() - begun)
    assert min(seconds) > 0.001  # both were hashed


def test_roles_are_asked_for_where_people_are_named(home: Path) -> None:
    path = everybody(home)
    people.require(path, "root", "approver")  # nobody is named: all may
    people.add(path, "ana", "approver")
    people.add(path, "bob", "trainer")
    people.require(path, "ana", "approver")
    with pytest.raises(ConfigError, match=r"bob is a trainer of .* this needs the role approver"):
        people.require(path, "bob", "approver")
    with pytest.raises(ConfigError, match="root is not among the people"):
        people.require(path, "root", "approver")


def test_the_umask_of_others_changes_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        people.add(tmp_path / "people.json", "ana", "reader")
        serve.token_of(tmp_path / "token")
    finally:
        os.umask(before)
    for name in ("people.json", "token"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def asked_for(served: Live, name: str, token: str = TOKEN, **content: bytes) -> httpx.Response:
    headers = {"x-neuro-person": name}
    if not content:
        return served.send("GET", "/v1/models", token, headers=headers)
    return served.send("POST", "/v1/predictions", token, files=content, headers=headers)


def test_an_admins_program_asks_in_another_persons_name(
    start: Start, model: str, home: Path, images: list[bytes]
) -> None:
    people.add(everybody(home), "ana", "reader")
    with start(models=[Path(model)]) as served:
        assert asked_for(served, "ana", files=images[0]).status_code == 200
    assert lake_of(home).read("requests")["who"].to_pylist() == ["ana"]


def test_a_person_is_asked_for_with_the_own_role_and_no_more(
    served: Live, home: Path, images: list[bytes]
) -> None:
    people.add(everybody(home), "vic", "viewer")
    assert asked_for(served, "vic").status_code == 200
    assert asked_for(served, "vic", files=images[0]).status_code == 403


def test_nobody_but_an_admin_asks_for_others(served: Live, home: Path) -> None:
    for name, role in (("ana", "approver"), ("boss", "admin")):
        people.add(everybody(home), name, role)
    assert asked_for(served, "boss", people.new_token(everybody(home), "ana")).status_code == 403
    assert asked_for(served, "ana", people.new_token(everybody(home), "boss")).status_code == 200


def test_a_name_that_nobody_has_is_refused(served: Live) -> None:
    assert asked_for(served, "nobody").status_code == 403
