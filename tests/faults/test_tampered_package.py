"""A package that somebody has altered: refused before anything in it is opened."""

import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
import torch

from neuro import signing
from neuro.errors import PackageError, SignatureError
from neuro.models import package, package_manifest
from neuro.prediction import predict
from tests.faults import seeds
from tests.neuro.prediction.test_predict import Brightness, card

FLIPS = seeds.rounds(short=40, long=1000)  # of each file
EVERY_FILE = (*package_manifest.FILES, package_manifest.MANIFEST)
SIGNED = (*EVERY_FILE, package_manifest.SIGNATURE)
EXTRA = ("python_model.pkl", "weights.pt", "model.joblib", "a.npy", "a.npz", "more.safetensors")


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def pickled(protocol: int) -> Callable[[Payload], bytes]:
    return lambda payload: pickle.dumps(payload, protocol)


def written_by(write: Callable[[io.BytesIO, Payload], object]) -> Callable[[Payload], bytes]:
    def made(payload: Payload) -> bytes:
        buffer = io.BytesIO()
        write(buffer, payload)
        return buffer.getvalue()

    return made


def objects(payload: Payload) -> np.ndarray:
    return np.array([payload], dtype=object)


KINDS: dict[str, tuple[Callable[[Payload], bytes], Callable[[io.BytesIO], object]]] = {
    f"pickle of protocol {protocol}": (pickled(protocol), pickle.load) for protocol in range(6)
} | {
    "joblib": (written_by(lambda out, it: joblib.dump(it, out)), joblib.load),
    "torch": (
        written_by(lambda out, it: torch.save(it, out)),
        lambda raw: torch.load(raw, weights_only=False),
    ),
    "npy": (
        written_by(lambda out, it: np.save(out, objects(it))),
        lambda raw: np.load(raw, allow_pickle=True),
    ),
    "npz": (
        written_by(lambda out, it: np.savez(out, a=objects(it))),
        lambda raw: np.load(raw, allow_pickle=True)["a"],
    ),
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """Two that are whole, of other weights."""
    folder, networks = tmp_path_factory.mktemp("whole"), [Brightness(), Brightness()]
    with torch.no_grad():
        networks[1].scale.fill_(9.0)
    made = [package.save(folder / str(n), each, card()) for n, each in enumerate(networks)]
    assert package_manifest.digest(made[0]) != package_manifest.digest(made[1])
    return made


@pytest.fixture
def altered(packages: Sequence[Path], tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(packages[0], tmp_path / "altered")


def sealed(folder: Path) -> None:
    """Rewrite the manifest over the files as they are now."""
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(package_manifest.FILES)
    ]
    (folder / package_manifest.MANIFEST).write_text("".join(lines))


def use(folder: Path) -> None:
    """All that is ever done with a package."""
    opened = package.open_verified(folder)
    predict.load(opened)
    opened.trained_on()
    package.restore(opened)


@pytest.mark.parametrize("kind", KINDS)
def test_each_payload_runs_where_it_is_unpickled(kind: str, tmp_path: Path) -> None:
    """Else the tests below would prove nothing."""
    make, load = KINDS[kind]
    load(io.BytesIO(make(Payload(tmp_path / "ran"))))
    assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*EVERY_FILE, *EXTRA])
def test_a_pickle_under_any_name_is_refused_and_does_not_run(
    altered: Path, name: str, kind: str
) -> None:
    raw = KINDS[kind][0](Payload(altered.parent / "ran"))
    (altered / name).write_bytes(raw)
    with pytest.raises(PackageError, match=package_manifest.MANIFEST):
        use(altered)
    if name in package_manifest.FILES:  # by somebody who writes the manifest, too
        sealed(altered)
        with pytest.raises(PackageError, match=name):
            use(altered)
    if name in EXTRA:
        with (altered / package_manifest.MANIFEST).open("a") as manifest:
            manifest.write(f"{hashlib.sha256(raw).hexdigest()}  {name}\n")
        with pytest.raises(PackageError, match="must list exactly"):
            use(altered)
    assert not (altered.parent / "ran").exists()


@pytest.mark.parametrize("name", EVERY_FILE)
def test_no_flipped_bit_of_any_file_passes(altered: Path, name: str) -> None:
    whole = (altered / name).read_bytes()
    bits = range(8 * len(whole))
    if name != package_manifest.MANIFEST:
        bits = sorted(seeds.draws(f"tampered {name}").sample(bits, min(FLIPS, len(bits))))
    for bit in bits:
        raw = bytearray(whole)
        raw[bit // 8] ^= 1 << bit % 8
        (altered / name).write_bytes(raw)
        with pytest.raises(PackageError):
            package.open_verified(altered)


def swap(folder: Path, name: str, other: Path) -> None:
    shutil.copyfile(other / name, folder / name)


def delete(folder: Path, name: str, other: Path) -> None:
    (folder / name).unlink()


def link(folder: Path, name: str, other: Path) -> None:
    """To the very file: only where it lies has changed."""
    (folder / name).rename(folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)


def replace_by_a_folder(folder: Path, name: str, other: Path) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def add(folder: Path, name: str, other: Path) -> None:
    shutil.copyfile(folder / name, folder / f"{name}.1")


@pytest.mark.parametrize("alter", [swap, delete, link, replace_by_a_folder, add])
@pytest.mark.parametrize("name", EVERY_FILE)
def test_no_file_can_be_swapped_added_deleted_or_linked(
    altered: Path, packages: Sequence[Path], name: str, alter: Callable[[Path, str, Path], None]
) -> None:
    if alter is swap and (packages[1] / name).read_bytes() == (altered / name).read_bytes():
        assert name == package_manifest.CARD  # the two have one card
        (altered / name).write_bytes((altered / name).read_bytes() + b"\n")
    else:
        alter(altered, name, packages[1])
    with pytest.raises(PackageError, match=f"{name}|{package_manifest.MANIFEST}"):
        package.open_verified(altered)


@pytest.mark.parametrize("name", package_manifest.FILES)
def test_a_rewritten_manifest_is_refused_by_the_digest_that_somebody_remembers(
    altered: Path, packages: Sequence[Path], name: str
) -> None:
    remembered = package_manifest.digest(altered)
    (altered / name).write_bytes(
        b"\n" * (name == package_manifest.CARD) + (packages[1] / name).read_bytes()
    )
    sealed(altered)
    package.open_verified(altered)  # of itself it is whole
    with pytest.raises(PackageError, match="expected"):
        package.open_verified(altered, expected=remembered)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the installation that has signed."""
    folder = tmp_path_factory.mktemp("signer") / "keys"
    signing.create(folder)
    return folder


@pytest.fixture
def signed(altered: Path, keys: Path) -> Path:
    package_manifest.sign(altered, keys)
    assert package.open_verified(altered, signers=signing.trusted(keys)).signed_by
    return altered


@pytest.mark.parametrize("name", SIGNED)
def test_no_flipped_bit_of_what_is_signed_passes(signed: Path, keys: Path, name: str) -> None:
    whole = (signed / name).read_bytes()
    bits = range(8 * len(whole))
    for bit in sorted(seeds.draws(f"signed {name}").sample(bits, min(FLIPS, len(bits)))):
        raw = bytearray(whole)
        raw[bit // 8] ^= 1 << bit % 8
        (signed / name).write_bytes(raw)
        with pytest.raises(PackageError):
            package.open_verified(signed, signers=signing.trusted(keys))


@pytest.mark.parametrize("alter", [delete, link, replace_by_a_folder])
def test_a_signature_is_a_plain_file_that_is_there(
    signed: Path, keys: Path, alter: Callable[[Path, str, Path], None]
) -> None:
    alter(signed, package_manifest.SIGNATURE, signed)
    with pytest.raises(PackageError, match=f"{package_manifest.SIGNATURE}|is not signed"):
        package.open_verified(signed, signers=signing.trusted(keys))


def test_what_was_sealed_anew_needs_a_new_signature(
    signed: Path, keys: Path, packages: Sequence[Path]
) -> None:
    swap(signed, package_manifest.WEIGHTS, packages[1])
    sealed(signed)
    package.open_verified(signed)  # of itself it is whole
    with pytest.raises(SignatureError, match="altered after it was signed"):
        package.open_verified(signed, signers=signing.trusted(keys))


def test_the_signature_of_a_stranger_is_refused(signed: Path, keys: Path, tmp_path: Path) -> None:
    signing.create(tmp_path / "stranger")
    package_manifest.sign(signed, tmp_path / "stranger")
    with pytest.raises(SignatureError, match="no such key is believed"):
        package.open_verified(signed, signers=signing.trusted(keys))


def test_a_graph_that_takes_weights_from_another_file_is_refused(
    altered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would run on bytes that no manifest covers."""
    model = onnx.load(altered / package_manifest.ONNX)
    tensor = next(each for each in model.graph.initializer if len(each.raw_data) > 0)
    (altered.parent / "stolen.bin").write_bytes(tensor.raw_data)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "stolen.bin"
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    (altered / package_manifest.ONNX).write_bytes(model.SerializeToString())
    sealed(altered)
    monkeypatch.chdir(altered.parent)
    with pytest.raises(PackageError, match="takes weights from another file"):
        predict.load(package.open_verified(altered))
