"""What is read of a release beside its stored bytes."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from neuro.images import sanitize
from neuro.lake import features, images, releases, sample_metadata
from neuro.lake.lake import Lake
from tests.neuro.conftest import Deliver, Ingest, Png


@pytest.fixture
def filled(lake: Lake, ingest: Ingest, deliver: Deliver, png: Png) -> Lake:
    ingest(lake, deliver("in", {f"glioma/{n}.png": png(n) for n in range(40)}))
    return lake


def test_some_images_are_read_as_they_are_stored(filled: Lake, png: Png) -> None:
    release = releases.find(filled, "brain")
    wanted = [sanitize.clean(png(n)).sha256 for n in range(3, 37)]  # more than are read at once
    found = dict(images.undamaged(filled, release, wanted))
    assert found == dict(images.stored_bytes(filled, release, wanted))
    assert len(found) == 34


def test_a_damaged_image_is_left_out(filled: Lake, png: Png) -> None:
    release = releases.find(filled, "brain")
    broken, whole = (sanitize.clean(png(n)).sha256 for n in (1, 2))
    table = filled.open("images")
    rows = table.to_table(filter=f"sha256 = '{broken}'").to_pylist()
    rows[0]["stored"] = b"damaged"
    changed = pa.Table.from_pylist(rows, table.schema)
    table.merge_insert("sha256").when_matched_update_all().execute(changed)
    now = replace(release, tables={**release.tables, "images": filled.open("images").version})
    assert [name for name, _ in images.undamaged(filled, now, [broken, whole])] == [whole]


def test_thumbnails_come_in_the_order_asked_for(filled: Lake, png: Png) -> None:
    clean = [sanitize.clean(png(n)) for n in (5, 2, 9)]
    release = releases.find(filled, "brain")
    found = images.thumbnails(filled, release, [each.sha256 for each in clean])
    expected = [np.frombuffer(each.thumbnail, np.uint8) for each in clean]
    np.testing.assert_array_equal(found, expected)


def test_a_sample_is_described_by_what_came_with_it(filled: Lake) -> None:
    found = sample_metadata.described(filled, releases.find(filled, "brain"))
    assert len(found) == 40
    assert {each.metadata["format"] for each in found.values()} == {"PNG"}


def test_no_encoder_made_a_set_that_is_not_there(filled: Lake) -> None:
    assert features.encoders(filled, "embedding_brain") == {}
