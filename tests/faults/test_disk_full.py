"""A disk that fills up in the midst of `neuro ingest`, then the same command with room."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import holdings, seeds
from tests.faults.victims import Zygote
from tests.s3 import deliveries

pytestmark = pytest.mark.slow

ROUNDS = seeds.rounds(short=3, long=30)
DISK_BYTES = 16_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 16 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "neuro-faults", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command, so no small disk")
    if done.returncode:
        pytest.skip(f"no small disk may be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_named_hurts_nothing_and_the_same_command_completes(
    zygote: Zygote, disk: Path, tmp_path: Path
) -> None:
    rng = seeds.draws("disk full")
    first = deliveries.drawn(tmp_path / "first", 8)
    second = deliveries.drawn(tmp_path / "second", 40, seed=1)
    command = ("ingest", str(second), "--local", "--json")
    home, before, filler = disk / "home", tmp_path / "before", disk / "filler"
    zygote.run(home, "ingest", str(first), "--local", "--json").receipt()
    shutil.copytree(home, before)
    free = shutil.disk_usage(disk).free
    zygote.run(home, *command).receipt()
    needed = free - shutil.disk_usage(disk).free
    expected = holdings.read(home)
    failed = 0
    while failed < ROUNDS:
        shutil.rmtree(home)
        shutil.copytree(before, home)
        room = rng.randrange(needed)
        said = f"--seed {seeds.SEED}, {room} bytes free"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - room))
        full = zygote.run(home, *command)
        if full.status:
            failed += 1
            err = " ".join(full.err.split())
            assert full.status == 1, said
            assert "Traceback" not in err, f"{said}: {full.err}"
            assert f"no space is left on the disk of {home / 'lake'}" in err, f"{said}: {err}"
            assert "run the same command again" in err, f"{said}: {err}"
            assert holdings.shown(home) in (expected.chain[:1], expected.chain), said
            listed = zygote.run(home, "releases", "--json").receipt()
            assert len(listed) in (1, 2), said
            assert zygote.run(home, "verify", "--json").receipt()["ok"], said
        filler.unlink()
        again = zygote.run(home, *command)
        assert again.status == 0, f"{said}: {again.err}"
        assert holdings.read(home) == expected, said
    seeds.told.append(f"disk full: {failed} times named, readable and completed with room")
