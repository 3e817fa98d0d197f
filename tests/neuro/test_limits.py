import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from torch import nn

from neuro import limits
from neuro.drafting import draft_problem
from neuro.errors import ConfigError, NeuroError
from neuro.lake import point_in_time
from neuro.models import load_weights
from neuro.problems import problem
from neuro.promotion import retrain_envelope
from neuro.reports import render
from neuro.storage.folder_store import FolderStore


@dataclass(frozen=True, kw_only=True)
class Dose:
    parts: int = 2
    share: float = 0.5
    route: str = "oral"


LIMITS = {"parts": (1, 4), "share": (0, 1)}


def test_what_is_within_its_limits_passes() -> None:
    for dose in (Dose(parts=1, share=0), Dose(parts=4, share=1.0)):
        limits.within(dose, LIMITS)
        limits.among(dose, {"route": ("oral",)})


@pytest.mark.parametrize(
    ("dose", "told"),
    [
        (Dose(parts=5), r"dose\.parts must be a whole number, 1 to 4, got 5"),
        (Dose(parts=1.5), r"dose\.parts must be a whole number, 1 to 4, got 1\.5"),  # type: ignore[arg-type]
        (Dose(share=-0.1), r"dose\.share must be 0 to 1, got -0\.1"),
        (Dose(share="0.5"), r"dose\.share must be 0 to 1, got '0\.5'"),  # type: ignore[arg-type]
        (Dose(share=float("nan")), r"dose\.share must be 0 to 1, got nan"),
    ],
)
def test_what_is_beyond_is_named_with_its_limits(dose: Dose, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        limits.within(dose, LIMITS, "dose.")


def test_what_is_no_choice_is_named_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"^route must be one of oral, nasal, got 'ear'$"):
        limits.among(Dose(route="ear"), {"route": ("oral", "nasal")})


READERS: dict[str, Callable[[Path], object]] = {
    "problem file": lambda path: problem.load(str(path)),
    "weights": lambda path: load_weights.read(path, nn.Identity()),
    "envelope": retrain_envelope.load,
}


def make(path: Path, what: str) -> None:
    """Put at a path what people put there by accident."""
    text = '# größer\nname = "x"\n'
    if what == "a folder":
        path.mkdir()
    elif what == "a link to itself":
        path.symlink_to(path)
    elif what != "nothing":
        path.write_bytes({"latin-1": text.encode("latin-1"), "UTF-16": text.encode("utf-16")}[what])


CAUSES = {
    "nothing": "does not exist; check the path",
    "a folder": "is no file; give the file itself",
    "a link to itself": "(is a link that leads to itself|does not exist)",
    "latin-1": r"line 1 is not UTF-8 \(it may be Latin-1 or Windows-1252\); save it as UTF-8",
    "UTF-16": "is UTF-16, not UTF-8; save it as UTF-8",
}


@pytest.mark.parametrize("what", CAUSES)
@pytest.mark.parametrize("kind", READERS)
def test_a_file_that_a_person_names_is_refused_by_cause_and_remedy(
    tmp_path: Path, kind: str, what: str
) -> None:
    path = tmp_path / "mine.toml"
    make(path, what)
    cause = CAUSES[what]
    if kind == "weights" and what in ("latin-1", "UTF-16"):
        cause = "neither safetensors nor a file of torch"
    with pytest.raises(NeuroError, match=rf"mine\.toml .*{cause}") as caught:
        READERS[kind](path)
    assert caught.value.exit_code == (1 if "neither" in cause else 2)


def draft(path: Path) -> None:
    drafted = draft_problem.Draft(
        text="x", problem=problem.load("brain"), inferred={}, not_inferred=()
    )
    draft_problem.write(drafted, path)


def export(path: Path) -> None:
    with FolderStore(path).staged():
        pass


def draw(path: Path) -> None:
    render.write(path, "x")


def frame(path: Path) -> None:
    point_in_time.write(iter([pa.table({"a": [1]})]), {}, path)


NO_FOLDER = "a file stands where a folder has to"


@pytest.mark.parametrize(
    ("write", "name", "told"),
    [
        *[(write, "file/a", NO_FOLDER) for write in (draft, export, draw, frame)],
        *[(write, "file/a/b", NO_FOLDER) for write in (draft, export, draw, frame)],
        *[(write, "a" * 300, "name another place") for write in (draft, export, draw, frame)],
        (draft, "gone/a", "make the folder .*gone, or"),  # the others make it
        (draft, "file", "exists; move it away"),
        (export, "file", "is not empty"),
        (draw, "folder", "is a folder; name a file in it"),
        (frame, "folder", "is a folder; name a file in it"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_by_cause_and_remedy(
    tmp_path: Path, write: Callable[[Path], object], name: str, told: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=told):
        write(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfname = 1\r\n")
    assert limits.text_of(tmp_path / "a.toml", "file a.toml") == "name = 1\r\n"


@pytest.mark.parametrize("raw", [b"\x80\x02garbage", b"PK\x03\x04" + b"x" * 40, b"\x80\x05]q\0."])
def test_weights_that_are_garbage_are_refused_by_name(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(raw)
    with pytest.raises(NeuroError, match=r"weights .*w\.pth") as caught:
        load_weights.read(tmp_path / "w.pth", nn.Identity())
    assert caught.value.exit_code == 1


CLOSED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from torch import nn
from neuro import limits
from neuro.errors import NeuroError
from neuro.ingest import label_csv, sources
from neuro.lake.lake import Lake
from neuro.models import load_weights, package
from neuro.problems import problem
from neuro.reports import render

root = Path(sys.argv[1])

def open_lake():
    lake = Lake(f"{root}/closed/lake")
    lake.insist("add", lambda: lake.read("samples"))
    lake.insist("write", lambda: Path(lake.uri).mkdir())

def look():
    with sources.opened(str(root / "d.zip"), root / "scratch"):
        pass

calls = {
    "p.toml": lambda: problem.load(str(root / "p.toml")),
    "l.csv": lambda: label_csv.lines_of(root / "l.csv", "l.csv"),
    "w.pth": lambda: load_weights.read(root / "w.pth", nn.Identity()),
    "package": lambda: package.open_verified(root / "package"),
    "d.zip": look,
    "shut": lambda: sources.folder(root),
    "lake": open_lake,
    "page": lambda: render.write(root / "closed" / "page.html", "x"),
}
for name, call in calls.items():
    try:
        call()
    except NeuroError as error:
        print(name, error.exit_code, error)
try:
    (root / "p.toml").read_text()
except OSError as error:
    print("other", limits.refusal(error).exit_code, limits.refusal(error))
"""
_NO_ROOT = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read everything"
)
def test_what_may_not_be_read_or_written_is_one_message_with_exit_code_1(tmp_path: Path) -> None:
    for name in ("p.toml", "l.csv", "w.pth", "d.zip"):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / name).chmod(0)
    for folder, mode in {"package": 0, "shut": 0, "closed": 0o500, "scratch": 0o700}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder).chmod(mode)
    program = [sys.executable, "-c", CLOSED, str(tmp_path)]
    prefix = [*_NO_ROOT, "--inh-caps=-dac_override,-dac_read_search"] if not os.geteuid() else []
    done = subprocess.run([*prefix, *program], capture_output=True, text=True, check=False)
    (tmp_path / "shut").chmod(0o700)
    (tmp_path / "package").chmod(0o700)
    said = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert done.stderr == ""
    named = ["p.toml", "l.csv", "w.pth", "package", "d.zip", "shut", "lake", "page", "other"]
    assert list(said) == named
    for line in said.values():
        assert " 1 " in line[:10]
        assert "Permission denied" in line
        assert "chmod" in line
