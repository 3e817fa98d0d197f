import json
from pathlib import Path

import pytest

from tests.deployments.cli.test_app import neuro
from tests.tasks.record.notified import inbox, write_list


@pytest.mark.parametrize(("status", "code"), [(200, 0), (403, 3)])
def test_a_test_says_of_each_address_whether_it_was_reached(
    tmp_path: Path, status: int, code: int
) -> None:
    with inbox(status) as webhook:
        write_list(tmp_path / ".neuro", f"json://me:s3cret@{webhook.address}/s3cret")
        done = neuro("notify", "--test", "--json", cwd=tmp_path)
    (row,) = json.loads(done.stdout)
    assert (row["address"], row["delivered"]) == (f"json://{webhook.address}", status == 200)
    assert (done.returncode, len(webhook.messages)) == (code, 1)
    assert "s3cret" not in done.stdout + done.stderr


def test_without_test_the_addresses_are_listed_and_nothing_is_sent(tmp_path: Path) -> None:
    with inbox() as webhook:
        write_list(tmp_path / ".neuro", f"json://{webhook.address}")
        done = neuro("notify", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == [{"address": f"json://{webhook.address}"}]
    assert (done.returncode, webhook.messages) == (0, [])


def test_a_test_without_an_address_says_where_to_write_one(tmp_path: Path) -> None:
    done = neuro("notify", "--test", cwd=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / ".neuro" / "notify.txt") in done.stderr
