"""The files of a model package: their digests in a manifest, and who signed that.

``MANIFEST.sha256`` is in the format of ``sha256sum``; its own digest names the package. Beside it
``MANIFEST.sig`` where it was signed. Nothing here parses what the files hold.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuro import limits, signing
from neuro.errors import PackageError, SignatureError
from neuro.signing import Keys, Signature

WEIGHTS, ONNX, CARD, MANIFEST = "weights.safetensors", "model.onnx", "model.json", "MANIFEST.sha256"
SIGNATURE, PURPOSE = "MANIFEST.sig", "model package"
FILES = (ONNX, CARD, WEIGHTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """digest: SHA-256 of the manifest. files: name -> SHA-256.

    signed_by: id of the key that signed it, "" for none; believed only where keys were asked for.
    """

    digest: str
    files: Mapping[str, str]
    signed_by: str = ""


def write(folder: Path) -> None:
    """List the files of a package that is complete but for its manifest."""
    files = {name: _sha256((folder / name).read_bytes()) for name in FILES}
    (folder / MANIFEST).write_text(_text(files), encoding="utf-8")


def digest(folder: Path) -> str:
    """SHA-256 of the manifest: the name of these exact weights, card and graph."""
    return _sha256(_read(folder))


def sign(folder: Path, keys_folder: Path) -> Signature:
    """Sign the manifest with the key of this installation, and lay the signature beside it."""
    signature = signing.sign(keys_folder, PURPOSE, _read(folder))
    scratch = folder.with_name(f".{folder.name}.sig")  # a file in the package would be a stranger
    scratch.write_text(signature.to_json(), encoding="utf-8")
    scratch.replace(folder / SIGNATURE)
    return signature


def read(folder: Path) -> Manifest:
    """The manifest as it is written; its files are not looked at. Raises PackageError."""
    raw = _read(folder)
    return Manifest(digest=_sha256(raw), files=_parse(raw, folder))


def verify(folder: Path, *, expected: str | None = None, signers: Keys | None = None) -> Manifest:
    """Check the manifest and every file against it.

    expected: the digest somebody else remembers, such as the registry. signers: keys of which one
    must have signed it; None for a package that needs no signature. Raises PackageError naming the
    file that is altered, missing or not listed.
    """
    raw = _read(folder)  # once: it may be another one a moment later
    sha256 = _sha256(raw)
    if expected is not None and sha256 != expected:
        raise PackageError(f"{folder} is package {sha256[:12]}, expected {expected[:12]}")
    signed_by = _signer(folder, raw, signers)
    files = _parse(raw, folder)
    try:
        present = {entry.name for entry in folder.iterdir()} - {MANIFEST, SIGNATURE}
    except OSError as error:
        raise limits.unreadable(error, f"model package {folder}") from error
    if missing := sorted(set(files) - present):
        raise PackageError(f"{folder / missing[0]} is missing; fetch the package again")
    if extra := sorted(present - set(files)):
        raise PackageError(f"{folder / extra[0]} is not in {MANIFEST}; remove it and ask why")
    for name, file_sha256 in files.items():
        read_file(folder / name, file_sha256)
    return Manifest(digest=sha256, files=files, signed_by=signed_by)


def read_file(path: Path, sha256: str) -> bytes:
    """The bytes of one file that has this digest. Raises PackageError for any other."""
    if not _is_plain(path):
        raise PackageError(f"{path} is missing or no plain file; fetch the package again")
    raw = limits.bytes_of(path, f"file {path} of a model package")
    if _sha256(raw) != sha256:
        raise PackageError(f"{path} does not match {MANIFEST}; do not use it, fetch it again")
    return raw


def _read(folder: Path) -> bytes:
    path = folder / MANIFEST
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise PackageError(f"{path} is no plain file; fetch the package again")
        return path.read_bytes()
    except PermissionError as error:
        raise limits.unreadable(error, f"model package {folder}") from error
    except OSError as error:
        raise PackageError(f"{folder} is no model package: {MANIFEST} cannot be read") from error


def _parse(raw: bytes, folder: Path) -> dict[str, str]:
    lines = [line.split("  ", 1) for line in raw.decode("utf-8", "replace").splitlines()]
    files = {line[1]: line[0] for line in lines if len(line) == 2}
    # To the byte as it is written: another line break or order is another digest of the same files.
    if set(files) != set(FILES) or raw != _text(files).encode():
        raise PackageError(
            f"{folder / MANIFEST} must list exactly {', '.join(FILES)}, once each, as sha256sum "
            "does; fetch the package again"
        )
    return files


def _text(files: Mapping[str, str]) -> str:
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items()))


def _signer(folder: Path, manifest: bytes, signers: Keys | None) -> str:
    """Who signed the manifest; "" where nobody did, and nobody has to."""
    path = folder / SIGNATURE
    if not _is_plain(path):
        if path.is_symlink() or path.exists():
            raise PackageError(f"{path} is no plain file; remove it, or fetch the package again")
        if signers is None:
            return ""
        raise SignatureError(f"package {folder} is not signed")
    signature = signing.parse(limits.bytes_of(path, f"signature {path}"), str(path))
    if signers is not None:
        signing.check(signers, PURPOSE, manifest, signature, f"package {folder}")
    return signature.key


def _is_plain(path: Path) -> bool:
    """Whether it is a file itself. Raises FileAccessError where its folder may not be entered."""
    try:
        return path.is_file() and not path.is_symlink()
    except OSError as error:
        raise limits.unreadable(error, f"file {path} of a model package") from error


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
