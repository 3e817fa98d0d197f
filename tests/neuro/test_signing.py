"""Keys and signatures: made once, for their owner alone, believed where they are listed."""

import base64
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from neuro import signing
from neuro.errors import ConfigError, SignatureError, UnknownNameError
from neuro.signing import Signature


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    signing.create(tmp_path / "keys")
    return tmp_path / "keys"


def checked(keys: Path, raw: bytes, signature: Signature, purpose: str = "package") -> None:
    signing.check(signing.trusted(keys), purpose, raw, signature, "it")


def test_what_was_signed_is_believed_and_its_signature_is_the_same_each_time(keys: Path) -> None:
    signature = signing.sign(keys, "package", b"abc")
    checked(keys, b"abc", signature)
    assert signing.parse(signature.to_json().encode(), "it") == signature
    assert signing.sign(keys, "package", b"abc") == signature


def test_what_was_altered_or_signed_for_something_else_is_refused(keys: Path) -> None:
    signature = signing.sign(keys, "package", b"abc")
    for raw, purpose in ((b"abd", "package"), (b"abc", "journal head")):
        with pytest.raises(SignatureError, match="altered after it was signed"):
            checked(keys, raw, signature, purpose)


def test_a_signature_is_written_in_one_way(keys: Path) -> None:
    """The last of its signs before the padding holds bits that stand for nothing."""
    signature = signing.sign(keys, "package", b"abc")
    last = signature.value[-3]
    same = [
        each
        for each in string.ascii_letters + string.digits
        if base64.b64decode(signature.value[:-3] + each + "==") == base64.b64decode(signature.value)
    ]
    assert len(same) > 1
    for other in same:
        if other == last:
            continue
        value = signature.value[:-3] + other + "=="
        with pytest.raises(SignatureError):
            checked(keys, b"abc", Signature(key=signature.key, value=value))


def test_an_unknown_signer_is_refused_until_the_key_is_believed(keys: Path, tmp_path: Path) -> None:
    signing.create(tmp_path / "elsewhere")
    signature = signing.sign(tmp_path / "elsewhere", "package", b"abc")
    with pytest.raises(SignatureError, match=rf"{signature.key}.*neuro keys add"):
        checked(keys, b"abc", signature)
    assert signing.trust(keys, signing.public_pem(tmp_path / "elsewhere").encode()) == signature.key
    checked(keys, b"abc", signature)
    signing.distrust(keys, signature.key)
    with pytest.raises(SignatureError):
        checked(keys, b"abc", signature)
    with pytest.raises(UnknownNameError, match="those that are"):
        signing.distrust(keys, signature.key)


def test_a_key_that_others_may_read_does_not_sign(keys: Path) -> None:
    (keys / signing.PRIVATE).chmod(0o640)
    with pytest.raises(ConfigError, match=r"mode 640.*chmod 600"):
        signing.sign(keys, "package", b"abc")


def test_a_key_is_for_its_owner_alone(keys: Path) -> None:
    assert (keys / signing.PRIVATE).stat().st_mode & 0o777 == 0o600


def test_a_key_that_was_lost_is_not_replaced_without_a_word(keys: Path) -> None:
    (keys / signing.PRIVATE).unlink()
    signing.ensure(keys)
    with pytest.raises(ConfigError, match=r"signing.pem is missing.*neuro keys create"):
        signing.sign(keys, "package", b"abc")


def test_of_many_who_make_the_first_key_at_once_one_makes_it(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: signing.ensure(folder), range(8)))
    (known,) = signing.trusted(folder)
    assert signing.sign(folder, "package", b"").key == known
    assert sorted(path.name for path in folder.iterdir()) == [signing.PRIVATE, signing.TRUSTED]


def test_a_key_that_a_kill_left_unlisted_is_listed_by_the_next(keys: Path) -> None:
    (listed,) = (keys / signing.TRUSTED).iterdir()
    listed.unlink()
    signing.ensure(keys)
    assert [*signing.trusted(keys)] == [listed.stem]


def test_the_key_that_signs_is_not_removed_and_not_made_twice(keys: Path) -> None:
    (own,) = signing.trusted(keys)
    with pytest.raises(ConfigError, match="signs here"):
        signing.distrust(keys, own)
    with pytest.raises(ConfigError, match="there already"):
        signing.create(keys)


def test_a_key_of_another_kind_is_refused(keys: Path) -> None:
    other = generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for raw, says in ((pem, "another kind"), (b"ssh-ed25519 AAAA", "no public key in PEM")):
        with pytest.raises(ConfigError, match=says):
            signing.trust(keys, raw)


def test_a_listed_key_under_another_name_is_refused(keys: Path) -> None:
    (listed,) = (keys / signing.TRUSTED).iterdir()
    listed.rename(listed.with_name("0123456789abcdef.pub"))
    with pytest.raises(ConfigError, match="remove or rename it"):
        signing.trusted(keys)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"key": 1, "value": "x"}', b"[" * 99_999])
def test_what_is_no_signature_is_refused(raw: bytes) -> None:
    with pytest.raises(SignatureError, match="it is no signature"):
        signing.parse(raw, "it")


@pytest.mark.parametrize("value", ["", "?", "AAAA", "é"])
def test_a_value_that_is_none_is_refused(keys: Path, value: str) -> None:
    (own,) = signing.trusted(keys)
    with pytest.raises(SignatureError):
        checked(keys, b"abc", Signature(key=own, value=value))
