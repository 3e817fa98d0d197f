"""`neuro check` trusts the real server, and not what merely looks like one."""

import asyncio
import json

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from typer.testing import CliRunner

from deployments.cli.app import app
from neuro.errors import StorageError
from neuro.lake.lake import Lake
from neuro.storage import bucket_setup as buckets
from neuro.storage import bucket_store, conformance, location
from tests.s3 import server as ceph
from tests.s3.fixtures import Bucket
from tests.s3.proxy import Proxy, running

pytestmark = [pytest.mark.s3, pytest.mark.server]


class Forgetful(Proxy):
    """Drops If-None-Match and signs what is left: as servers do that do not know it.

    With ``looks_first`` it asks whether the key exists before it writes, so that one writer at a
    time is answered rightly and only a race betrays it.
    """

    def __init__(self, upstream: str, *, looks_first: bool) -> None:
        super().__init__(upstream, share=0, seed=0, faults=())
        self.looks_first = looks_first

    async def forward(self, head: bytes, body: bytes) -> bytes:
        if b"if-none-match" not in head.lower():
            return await super().forward(head, body)
        if self.looks_first:
            found = await super().forward(self._signed("HEAD", head, b""), b"")
            if b" 200 " in found.split(b"\r\n")[0]:
                return b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"
            await asyncio.sleep(0.02)
        return await super().forward(self._signed("PUT", head, body), body)

    def _signed(self, method: str, head: bytes, body: bytes) -> bytes:
        lines = head.decode().split("\r\n")
        path = lines[0].split(" ")[1]
        named = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        kept = {k: v for k, v in named.items() if k.lower().startswith("x-amz-meta-")}
        request = AWSRequest(
            method, f"http://{self.host}:{self.port}{path}", data=body, headers=kept
        )
        S3SigV4Auth(Credentials(*ceph.OWNER), "s3", "us-east-1").add_auth(request)
        request.headers["Host"] = f"{self.host}:{self.port}"
        request.headers["Content-Length"] = str(len(body))
        told = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        return f"{method} {path} HTTP/1.1\r\n{told}\r\n".encode()


def answers(uri: str, endpoint: str) -> dict[str, bool]:
    return {a.test: a.is_ok for a in conformance.check(location.parse(uri, endpoint))}


def test_check_trusts_the_real_server_and_leaves_nothing_behind(bucket: Bucket) -> None:
    arguments = ["check", bucket.uri, "--endpoint", bucket.endpoint, "--json"]
    done = CliRunner().invoke(app, arguments)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["trusted"]) == (0, True)
    assert {t["test"] for t in found["tests"] if t["is_needed"] and not t["is_ok"]} == set()
    assert list(bucket_store.open(f"s3://{bucket.name}", bucket.endpoint).entries()) == []


def test_check_ends_with_3_where_conditions_are_ignored(bucket: Bucket) -> None:
    with running(Forgetful(bucket.endpoint, looks_first=False)) as bad:
        done = CliRunner().invoke(app, ["check", bucket.uri, "--endpoint", bad.url, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["trusted"]) == (3, False)


def test_only_the_race_betrays_a_server_that_looks_before_it_writes(bucket: Bucket) -> None:
    with running(Forgetful(bucket.endpoint, looks_first=True)) as bad:
        found = answers(bucket.uri, bad.url)
    assert found["create only if new"] is True
    assert found["race of creates"] is False


def test_a_lake_refuses_to_write_to_such_a_server_and_says_why(bucket: Bucket) -> None:
    with running(Forgetful(bucket.endpoint, looks_first=True)) as bad:
        with pytest.raises(StorageError, match=r"not safe for several writers: \d of 8 writers"):
            Lake(bucket.uri, bad.url).open("journal")
        assert not Lake(bucket.uri, bad.url).has("journal")
        Lake(bucket.uri, bad.url, is_alone=True).open("journal")


def test_ceph_16_forgets_conditions_in_a_bucket_that_keeps_versions(bucket: Bucket) -> None:
    buckets.create(location.parse(bucket.uri, bucket.endpoint), [], keep_versions_days=7)
    assert answers(bucket.uri, bucket.endpoint)["create only if new"] is False
