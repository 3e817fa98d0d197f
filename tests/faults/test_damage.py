"""Bits that flip in the files of a lake after the digest was taken."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuro.lake import images, releases
from neuro.lake.lake import Lake
from tests.faults import seeds
from tests.faults.victims import Zygote
from tests.s3 import deliveries

pytestmark = pytest.mark.slow

FLIPS = seeds.rounds(short=50, long=1000)
IMAGES = seeds.rounds(short=50, long=200)


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """Where the stored bytes of an image lie on the disk."""

    sample_id: str
    path: Path
    start: int
    length: int


def payloads(lake: Lake) -> list[Payload]:
    """Of every image; each must be found once, or a flip could miss it."""
    files = {path: path.read_bytes() for path in Path(lake.uri).rglob("*.lance") if path.is_file()}
    found = []
    for row in lake.read("images", columns=["sha256", "stored"]).to_pylist():
        places = [(path, raw.find(row["stored"])) for path, raw in files.items()]
        ((path, start),) = [place for place in places if place[1] >= 0]
        size = len(row["stored"])
        found.append(Payload(sample_id=row["sha256"], path=path, start=start, length=size))
    return found


def flip(payload: Payload, rng: random.Random) -> None:
    with payload.path.open("r+b") as stream:
        stream.seek(where := payload.start + rng.randrange(payload.length))
        (value,) = stream.read(1)
        stream.seek(where)
        stream.write(bytes([value ^ 1 << rng.randrange(8)]))


def test_every_flipped_bit_is_found_and_nothing_else(zygote: Zygote, tmp_path: Path) -> None:
    rng, home = seeds.draws("damage"), tmp_path / "home"
    folder = deliveries.drawn(tmp_path / "delivery", 2 * IMAGES)
    zygote.run(home, "ingest", str(folder), "--local", "--json").receipt()
    lake = Lake(str(home / "lake"))
    release = releases.find(lake, "brain")
    samples, flipped = releases.samples(lake, release), 0
    everything = payloads(lake)
    while flipped < FLIPS:
        chosen = rng.sample(everything, min(IMAGES, FLIPS - flipped))
        whole = {one.path: one.path.read_bytes() for one in chosen}
        for one in chosen:
            flip(one, rng)
        wanted = sorted(one.sample_id for one in chosen)
        assert images.damaged(lake, release, samples) == wanted, f"--seed {seeds.SEED}"
        flipped += len(chosen)
        if flipped == FLIPS:
            ended = zygote.run(home, "verify", "--json")
            assert (ended.status, ended.receipt()["damaged"]) == (3, wanted)
        for path, raw in whole.items():
            path.write_bytes(raw)
    assert images.damaged(lake, release, samples) == []
    seeds.told.append(f"damage: {flipped} of {FLIPS} flipped bits found, no whole image blamed")
