"""A bucket of a real server for any test that asks for one; without the packages it is skipped."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.s3 import server as ceph


@dataclass(frozen=True)
class Bucket:
    """An empty bucket of the server's owner, whose credentials are in the environment."""

    server: ceph.Server
    name: str

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/lake"

    @property
    def endpoint(self) -> str:
        return self.server.endpoint


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Server]:
    if lacking := ceph.missing():
        pytest.skip(f"no real S3 server: {', '.join(lacking)} not installed")
    server = ceph.start(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def bucket(s3_server: ceph.Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    from neuro.storage import bucket_setup as buckets
    from neuro.storage import location

    log_in(monkeypatch, ceph.OWNER)
    made = Bucket(s3_server, f"b{uuid4().hex[:12]}")
    buckets.create(location.parse(made.uri, made.endpoint), [])
    return made


def log_in(monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str]) -> None:
    """Act as the user with these keys."""
    nowhere = str(Path("no") / "such" / "file")
    for name, value in {
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
