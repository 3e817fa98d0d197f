"""Who gets through the guard: worked out from the headers that browsers and clients send."""

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from deployments.stack.guard import Guard

ASKING = Guard(PlainTextResponse("in"), port=5000, credentials="neuro:secret")
BY_ITSELF = Guard(PlainTextResponse("in"), port=5000)
OWN = {"Host": "127.0.0.1:5000"}


def answer(guard: Guard, headers: dict[str, str], path: str = "/") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://any") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OWN, 200),
        ({"Host": "localhost:5000"}, 200),
        ({"Host": "localhost:5000", "Origin": "http://localhost:5000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:5000"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Host": "127.0.0.1:5001"}, 403),
        (OWN | {"Origin": "null"}, 403),
        (OWN | {"Origin": "http://evil.example"}, 403),
        (OWN | {"Origin": "http://127.0.0.1:8000"}, 403),
        (OWN | {"Origin": "https://127.0.0.1:5000"}, 403),
        (OWN | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        (OWN | {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        (
            OWN
            | {"Origin": "http://localhost:5000"}
            | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
            200,
        ),
        (OWN | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        (OWN | {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
def test_only_its_own_name_and_its_own_pages_get_through(
    headers: dict[str, str], status: int
) -> None:
    assert answer(BY_ITSELF, headers).status_code == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Basic bmV1cm86c2VjcmV0", 200),
        ("basic bmV1cm86c2VjcmV0", 200),
        ("Basic bmV1cm86c2VjcmV1", 401),  # neuro:secreu
        ("Basic bmV1cm86c2Vj", 401),  # neuro:sec
        ("Basic =", 401),
        ("Basic", 401),
        ("Bearer bmV1cm86c2VjcmV0", 401),
        ("", 401),
    ],
)
def test_the_secret_is_asked_for(authorization: str, status: int) -> None:
    assert answer(ASKING, OWN | {"Authorization": authorization}).status_code == status


def test_letters_of_no_code_are_no_secret() -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(ASKING)
        async with httpx.AsyncClient(transport=transport, base_url="http://any") as client:
            headers = [(b"Host", b"127.0.0.1:5000"), (b"Authorization", b"Basic \xe9")]
            return await client.get("/", headers=headers)

    assert asyncio.run(ask()).status_code == 401


def test_a_browser_is_told_to_ask_its_user() -> None:
    assert answer(ASKING, OWN).headers["WWW-Authenticate"].startswith("Basic realm=")


def test_whether_the_server_is_there_is_no_secret() -> None:
    assert answer(ASKING, OWN, "/health").status_code == 200
    assert answer(ASKING, {"Host": "evil.example"}, "/health").status_code == 403
