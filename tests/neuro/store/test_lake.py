from pathlib import Path

import lance
import pytest

from neuro.errors import ConfigError
from neuro.store import releases
from neuro.store.lake import Lake
from neuro.store.tables import SCHEMAS


def test_a_lake_of_another_version_is_named_and_not_written_to(tmp_path: Path) -> None:
    older = SCHEMAS["releases"].remove(SCHEMAS["releases"].get_field_index("left_out"))
    lance.write_dataset(older.empty_table(), str(tmp_path / "releases.lance"))
    with pytest.raises(ConfigError, match="lacks left_out: another version"):
        releases.current(Lake(str(tmp_path)), "brain")
