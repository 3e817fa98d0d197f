"""Files of weights on this machine: kept in a folder by digest, each with a card, or in packages.

A file's name is its SHA-256. Beside it lies ``SHA-256.json``, its card, where it came by ``add``.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

from neuro import limits
from neuro.errors import ConfigError, NeuroError, PackageError, UnknownNameError
from neuro.models import (
    backbone,
    ensemble,
    load_weights,
    own_networks,
    typed_json,
    weights_packages,
)
from neuro.models.backbone import Extractor
from neuro.models.weights_packages import KnownFile

HOME = "home"  # the place of what lies in the folder
_HEXADECIMAL = set("0123456789abcdef")

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsCard:
    """What is known of a file of weights.

    architecture: the network's name, with timm's tag where that is known; "" where nobody said.
    licence, source: "" for not stated. size_px, mean, deviation: side, and of each colour of 0..1,
    of the pictures that timm says they were trained on.
    """

    sha256: str
    architecture: str = ""
    licence: str = ""
    source: str = ""
    size_px: int = 0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def is_of(self, architecture: str) -> bool:
        """Whether a name means these weights: a name without a tag means those of every tag."""
        return architecture in (self.architecture, self.architecture.partition(".")[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredWeights:
    """A file of weights, and what is known of it.

    place: "home", or the package and its version. fault: why it cannot be used, "" for nothing.
    """

    card: WeightsCard
    path: Path | None
    place: str
    fault: str = ""


def entries(folder: Path) -> list[StoredWeights]:
    """Every file of weights in installed packages and in the folder, each checked by its digest."""
    return [*_of_packages(), *(_checked(entry) for entry in _kept(folder))]


def choose(folder: Path, name: str) -> StoredWeights:
    """The file of a network's name, or of a digest given by at least 8 of its characters.

    Raises UnknownNameError for none, ConfigError for several.
    """
    fitting = {
        entry.card.sha256: entry
        for entry in reversed(entries(folder))  # of copies, the one in the package
        if entry.card.is_of(name) or _begins(entry.card.sha256, name)
    }
    if not fitting:
        raise UnknownNameError(
            f"no weights {name[:80]!r} are on this machine; see `neuro weights list`, or get some "
            "with `neuro weights fetch NAME` or `neuro weights add FILE --model NAME`"
        )
    return _only([*fitting.values()], name, "give one of these digests instead of the name")


def find(folder: Path, architecture: str, sha256: str = "") -> StoredWeights | None:
    """The file in the folder that came for a network, checked by its digest; None for none.

    sha256: its digest or the beginning of it, "" for any. Raises ConfigError for several files, and
    for one that is damaged.
    """
    fitting = []
    for entry in _kept(folder):
        if entry.fault:
            _log.warning("weights %s are passed over: %s", entry.path, entry.fault)
        elif entry.card.is_of(architecture) and entry.card.sha256.startswith(sha256.lower()):
            fitting.append(entry)
    if not fitting:
        return None
    entry = _checked(_only(fitting, architecture, "say which with --weights-sha256"))
    if entry.fault:
        raise ConfigError(
            f"weights {entry.path} cannot be used: {entry.fault}; remove the file, and add or fetch"
            " it again"
        )
    return entry


def described(folder: Path, sha256: str) -> WeightsCard | None:
    """What is known of the file of a digest, wherever it lies; None for nothing."""
    known = weights_packages.by_digest(sha256)
    if known is not None:
        return _card_of(known)
    entry = _entry(folder / sha256)
    if entry.fault:
        _log.warning("of weights %s no source is known: %s", entry.path, entry.fault)
    return entry.card if entry.card.architecture else None


def add(
    folder: Path, file: Path, architecture: str, *, licence: str = "", source: str = ""
) -> StoredWeights:
    """Keep a copy of a file of weights for a network, with its card; the file must fit it.

    architecture: any name that ``backbone.build`` takes. licence, source: "" for not stated; those
    of a known file are known. Adding it again replaces its card. Raises what ``backbone.extractor``
    raises.
    """
    if load_weights.is_joined(file):
        raise ConfigError(f"weights {file} are of several networks; add the file of one")
    made = backbone.extractor(architecture, file)
    if made.start is None:
        raise ConfigError(f"nothing was read of weights {file}; check the path")
    sha256 = made.start.sha256
    known = weights_packages.by_digest(sha256)
    card = (
        _card_of(known)
        if known
        else WeightsCard(
            sha256=sha256,
            architecture=architecture,
            licence=licence.strip(),
            source=source.strip(),
            **_made_for(architecture, made),
        )
    )
    return _keep_with(folder, file, card)


def keep(folder: Path, file: Path, sha256: str) -> Path:
    """A copy of a file by its digest, whole or not at all.

    A copy that is damaged is replaced. Raises ConfigError for a file of another digest.
    """
    kept = folder / sha256
    if kept.is_file() and load_weights.digest(kept) == sha256:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
        copied = Path(shutil.copyfile(file, Path(scratch) / sha256))
        load_weights.require(copied, sha256)
        copied.replace(kept)
    return kept


def _of_packages() -> Iterator[StoredWeights]:
    for known in weights_packages.KNOWN:
        path, fault = None, ""
        try:
            path = weights_packages.find(known.architecture)
        except ConfigError as error:
            fault = str(error)
        if path or fault:
            place = f"{known.distribution} {known.version}"
            yield StoredWeights(card=_card_of(known), path=path, place=place, fault=fault)


def join(folder: Path, files: Mapping[str, StoredWeights]) -> StoredWeights:
    """Keep the files of several architectures as one, with a card: what an ensemble starts from.

    files: by architecture, each with a path. Raises what ``load_weights.join`` raises.
    """
    plain = {name.partition(".")[0]: entry for name, entry in files.items()}
    parts = {
        name: (entry.path, list(backbone.blank(name).state_dict()))
        for name, entry in plain.items()
        if entry.path
    }
    cards = [entry.card for entry in plain.values()]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
        joined = Path(scratch) / "joined"
        load_weights.join(parts, joined)
        card = WeightsCard(
            sha256=load_weights.digest(joined),
            architecture=ensemble.AND.join(sorted(plain)),
            licence=_each(card.licence or "not stated" for card in cards),
            source=_each(card.source or "not stated" for card in cards),
        )
        return _keep_with(folder, joined, card)


def _made_for(architecture: str, made: Extractor) -> dict[str, Any]:
    """Side, mean and deviation of the pictures; of our own networks nobody says them."""
    if architecture in own_networks.OURS:
        return {}
    return {"size_px": made.size_px, "mean": made.mean, "deviation": made.deviation}


def _each(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _keep_with(folder: Path, file: Path, card: WeightsCard) -> StoredWeights:
    """A copy of a file with its card. First the file: a card alone would say that it is here."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
        written = Path(scratch) / "card"
        written.write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
        path = keep(folder, file, card.sha256)
        written.replace(_card_place(path))
    return StoredWeights(card=card, path=path, place=HOME)


def _kept(folder: Path) -> list[StoredWeights]:
    """The files in the folder by their cards; those of no card are of no known network."""
    if not folder.is_dir():
        return []
    return [_entry(path) for path in sorted(folder.iterdir()) if _is_digest(path.name)]


def _entry(path: Path) -> StoredWeights:
    known = weights_packages.by_digest(path.name)
    card, fault = WeightsCard(sha256=path.name), ""
    try:
        if known is not None:
            card = _card_of(known)
        elif _card_place(path).exists():
            card = _read_card(path)
    except NeuroError as error:
        fault = f"the card is damaged ({error}): remove it, and add the file again"
    return StoredWeights(card=card, path=path, place=HOME, fault=fault)


def _read_card(path: Path) -> WeightsCard:
    place = _card_place(path)
    facts = typed_json.parse(limits.bytes_of(place, f"card {place}"), str(place))
    card: WeightsCard = typed_json.read(WeightsCard, facts, f"{place}: ", extra=True)
    if card.sha256 != path.name:
        raise PackageError(f"{place} is the card of {card.sha256[:64]}")
    return card


def _checked(entry: StoredWeights) -> StoredWeights:
    """The same with the fault that a file has whose bytes are not those of its name."""
    if entry.fault or entry.path is None or entry.place != HOME:
        return entry
    try:
        load_weights.require(entry.path, entry.card.sha256)
    except ConfigError as error:
        return StoredWeights(
            card=entry.card, path=entry.path, place=entry.place, fault=f"damaged: {error}"
        )
    return entry


def _card_of(known: KnownFile) -> WeightsCard:
    return WeightsCard(
        sha256=known.sha256,
        architecture=f"{known.architecture}.{known.tag}",
        licence=known.licence,
        source=known.source,
        size_px=known.size_px,
        mean=known.mean,
        deviation=known.deviation,
    )


def _only(fitting: list[StoredWeights], name: str, remedy: str) -> StoredWeights:
    if len(fitting) > 1:
        digests = ", ".join(f"{e.card.sha256[:12]} ({e.card.architecture})" for e in fitting)
        raise ConfigError(f"{len(fitting)} files of weights are {name!r}: {digests}; {remedy}")
    return fitting[0]


def _card_place(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _is_digest(name: str) -> bool:
    return len(name) == 64 and set(name) <= _HEXADECIMAL


def _begins(sha256: str, beginning: str) -> bool:
    return len(beginning) >= load_weights.SHORTEST and sha256.startswith(beginning.lower())
