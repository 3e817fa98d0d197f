"""Pictures of another problem among a problem's own, told by the distance of an embedding.

A third of the groups teaches (nothing but the trained network), a third is the reference, and a
third is asked beside the strangers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from bench.uses import compared, pictures
from bench.uses.compared import Row, Scored
from bench.uses.pictures import NEW, RANDOM, Pictures, Vectors
from neuro.features.descriptors import Descriptors
from neuro.features.embedding import Backbone
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone
from neuro.uncertainty import out_of_scope

EPOCHS = 10
MOST = 300  # strangers of a kind
_BATCH, _RATE, _DECAY = 32, 2e-3, 0.05
_TILE_PX = 128

Floats = NDArray[np.float64]


def measure(
    data: Pictures,
    others: dict[str, list[bytes]],
    ways: dict[str, Vectors],
    encoders: dict[str, Backbone],
    seed: int,
) -> list[Row]:
    """others: stored bytes by what they are of. ways: vectors of the set, by encoders' names."""
    names, number = np.unique(data.groups, return_inverse=True)
    part = np.random.default_rng(seed).integers(3, size=len(names))[number]
    trained = _Trained(data, part == 0, seed)
    described = pictures.encode("descriptors", Descriptors(), data.stored)
    taught = pictures.timed("trained", trained, data.stored)
    scaler = StandardScaler().fit(described.rows[part == 1])
    own: dict[str, NDArray[Any]] = {name: vectors.rows for name, vectors in ways.items()}
    own |= {"descriptors": scaler.transform(described.rows), "trained": taught.rows}
    cpu_s = {name: vectors.cpu_s for name, vectors in ways.items()}
    cpu_s |= {"descriptors": described.cpu_s, "trained": taught.cpu_s}
    rows = []
    for kind, stored in others.items():
        strangers = _as_seen(stored[:MOST], data.spec)
        theirs: dict[str, NDArray[Any]] = {
            name: encoder.encode(strangers) for name, encoder in encoders.items()
        }
        theirs["descriptors"] = scaler.transform(Descriptors().encode(strangers))
        theirs["trained"] = trained(strangers)
        scores = {name: _nearer(own[name], theirs[name], part) for name in theirs}
        rows += [
            compared.compare(
                f"out of scope: {kind}",
                data.name,
                Scored(way=name, scores=scores[name], cpu_s=cpu_s[name]),
                Scored(way=NEW, scores=scores[NEW], cpu_s=cpu_s[NEW]),
                data.groups[part == 2],
            )
            for name in ("descriptors", RANDOM, "trained")
        ]
    return rows


def photographs() -> list[bytes]:
    """Tiles of the two photographs that scikit-learn comes with, a temple and a flower."""
    side = _TILE_PX
    return [
        pictures.saved(Image.fromarray(photo[top : top + side, left : left + side]))
        for photo in load_sample_images().images
        for top in range(0, photo.shape[0] - side + 1, side // 2)
        for left in range(0, photo.shape[1] - side + 1, side // 2)
    ]


def _as_seen(stored: Sequence[bytes], spec: PreprocessSpec) -> list[bytes]:
    """Grey where the problem is: its colour must not give a stranger away."""
    return [pictures.saved(pictures.opened(raw).convert(spec.mode)) for raw in stored]


def _nearer(own: NDArray[Any], theirs: NDArray[Any], part: NDArray[np.int64]) -> Floats:
    """The share of strangers that is farther away, of each one asked: their mean is the AUROC."""
    reference = out_of_scope.fit(own[part == 1])
    asked = reference.distances(own[part == 2])[:, None]
    strangers = reference.distances(theirs)[None]
    shares: Floats = ((strangers > asked) + 0.5 * (strangers == asked)).mean(axis=1)
    return shares


class _Trained:
    """``resnet_small`` after a few epochs on the problem's own labels, without views."""

    def __init__(self, data: Pictures, is_taught: NDArray[np.bool_], seed: int) -> None:
        torch.manual_seed(seed)
        n_classes = len(data.planted.question.classes)
        self.spec = data.spec
        self.network = backbone.build("resnet_small", self.spec, n_classes=n_classes)
        rows = np.flatnonzero(is_taught).tolist()
        images = self._tensors([data.stored[row] for row in rows])
        labels = torch.from_numpy(data.labels[rows])
        a_pass = len(rows) // _BATCH
        optimizer = torch.optim.AdamW(self.network.parameters(), _RATE, weight_decay=_DECAY)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=EPOCHS * a_pass)
        batches = [
            batch
            for _ in range(EPOCHS)
            for batch in torch.split(torch.randperm(len(rows))[: a_pass * _BATCH], _BATCH)
        ]
        for batch in batches:
            loss = functional.cross_entropy(self.network(images[batch])[0], labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            cycle.step()
        self.network.eval()

    def __call__(self, stored: Sequence[bytes]) -> NDArray[np.float32]:
        """Embeddings, (n, width)."""
        with torch.inference_mode():
            parts = [self.network(some)[1] for some in torch.split(self._tensors(stored), _BATCH)]
        embeddings: NDArray[np.float32] = torch.cat(parts).numpy()
        return embeddings

    def _tensors(self, stored: Sequence[bytes]) -> torch.Tensor:
        frames = np.stack([preprocess.frame(raw, self.spec) for raw in stored])
        return torch.from_numpy(preprocess.to_tensor(frames, self.spec))
