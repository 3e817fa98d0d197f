"""Run as a program, by any Python that has what is asked for: learn for some minutes, then answer.

Usage: learners.py NAME REQUEST ANSWER. REQUEST is JSON, see Request; ANSWER becomes JSON, a list of
[seconds, answers]: the class number of each file that is asked, by the weights of that moment. The
weights are kept while the clock runs, and asked when it has stopped.
"""

import importlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOMENTS = 20  # at which weights are kept, the last among them
LOOP_PX, TIMM_PX, MONAI_PX = 96, 96, 64  # MONAI's: of the tutorial's own images
PRETRAINED, PRETRAINED_PX = "tf_efficientnet_lite0", 128  # where there are weights to start from
_ASKED_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Request:
    """What is learnt from. train: folder of class folders; asked: files.

    started: when the process was, by time.time(). made: folder of checkpoints that are there.
    weights: file of PRETRAINED's, by timm's names, "" to start at random.
    """

    train: str
    asked: list[str]
    started: float
    minutes: float
    seed: int
    made: str = ""
    weights: str = ""

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.time() - self.started

    @property
    def share(self) -> float:
        """Of the minutes that are gone."""
        return self.seconds / (60 * self.minutes)


Curve = list[tuple[float, list[int]]]
Kept = list[tuple[float, dict[str, Any]]]
Look = Callable[[str], Any]
Rate = Callable[[float], float]  # the learning rate after a share of the time


def plain_loop(request: Request) -> Curve:
    """ImageFolder, DataLoader, AdamW, a cosine of the learning rate: what a user would write."""
    torch, timm = _module("torch"), _module("timm")
    data, folders = _module("torch.utils.data"), _module("torchvision.datasets")
    views, image = _module("torchvision.transforms"), _module("PIL.Image")
    px = PRETRAINED_PX if request.weights else LOOP_PX
    seen = [
        views.Grayscale(),
        views.Resize((px, px)),
        views.ToTensor(),
        views.Normalize(0.5, 0.5),
    ]
    drawn = [
        views.RandomHorizontalFlip(),
        views.RandomAffine(15, (0.06, 0.06), (0.9, 1.1)),
        views.ColorJitter(0.15, 0.15),
    ]
    torch.manual_seed(request.seed)
    pictures = folders.ImageFolder(request.train, views.Compose(seen[:2] + drawn + seen[2:]))
    batches = data.DataLoader(
        pictures, 32, shuffle=True, drop_last=True, num_workers=_cores(), persistent_workers=True
    )
    k = len(pictures.classes)
    if request.weights:
        model, peak = _pretrained(timm, request.weights, k), 5e-4
    else:
        model, peak = timm.create_model("mobilenetv3_small_050", in_chans=1, num_classes=k), 2e-3
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    kept = _learn(model, batches, optimizer, request, _cosine(peak))
    look = views.Compose(seen)
    return _answers(model, kept, request.asked, lambda file: look(image.open(file)))


def monai_tutorial(request: Request) -> Curve:
    """The MedNIST tutorial as it is written: batches of 300, a rate of 1e-5."""
    return _monai(request, 300, lambda _: 1e-5)


def monai_fitted(request: Request) -> Curve:
    """The same with a batch and a rate that learn within minutes of two cores."""
    return _monai(request, 32, _cosine(1e-3))


def _monai(request: Request, batch: int, rate: Rate) -> Curve:
    """The tutorial's transforms and size, its DenseNet121, Adam; in grey, as its pictures are."""
    torch, nets = _module("torch"), _module("monai.networks.nets")
    view, data = _module("monai.transforms"), _module("monai.data")
    _module("monai.utils").set_determinism(seed=request.seed)
    grey = data.PILReader(converter=lambda image: image.convert("L"))
    seen = [
        view.LoadImage(image_only=True, reader=grey),
        view.EnsureChannelFirst(),
        view.Resize((MONAI_PX, MONAI_PX)),
        view.ScaleIntensity(),
    ]
    drawn = [
        view.RandRotate(range_x=math.pi / 12, prob=0.5, keep_size=True),
        view.RandFlip(spatial_axis=0, prob=0.5),
        view.RandZoom(min_zoom=0.9, max_zoom=1.1, prob=0.5),
    ]
    classes = sorted(path.name for path in Path(request.train).iterdir())
    files = [
        {"image": str(path), "label": number}
        for number, name in enumerate(classes)
        for path in sorted(Path(request.train, name).iterdir())
    ]
    both = view.Compose([*seen, *drawn])
    pictures = data.Dataset(files, lambda row: (both(row["image"]), row["label"]))
    batches = data.DataLoader(
        pictures,
        batch_size=batch,
        shuffle=True,
        num_workers=_cores(),
        persistent_workers=True,
    )
    model = nets.DenseNet121(spatial_dims=2, in_channels=1, out_channels=len(classes))
    optimizer = torch.optim.Adam(model.parameters())
    kept = _learn(model, batches, optimizer, request, rate)
    return _answers(model, kept, request.asked, view.Compose(seen))


def timm_script(request: Request) -> Curve:
    """Ask the checkpoints that timm's train.py has written: each is as old as its file."""
    torch, timm = _module("torch"), _module("timm")
    transforms, image = _module("timm.data"), _module("PIL.Image")
    kept = []
    for path in Path(request.made).glob("checkpoint-*.pth.tar"):
        seconds = path.stat().st_mtime - request.started
        if seconds <= 60 * request.minutes:
            state = torch.load(path, map_location="cpu", weights_only=False)
            kept.append((seconds, state["state_dict"]))
    k = len(list(Path(request.train).iterdir()))
    name, px = (PRETRAINED, PRETRAINED_PX) if request.weights else ("resnet18", TIMM_PX)
    model = timm.create_model(name, in_chans=1, num_classes=k)
    look = transforms.create_transform(
        (1, px, px), mean=(0.5,), std=(0.5,), crop_pct=1.0, interpolation="bilinear"
    )
    asked = request.asked
    return _answers(
        model,
        sorted(kept, key=lambda one: one[0]),
        asked,
        lambda file: look(image.open(file).convert("L")),
    )


def _pretrained(timm: Any, weights: str, k: int) -> Any:
    """As a user asks timm for it: a grey stem, a classifier at random."""
    file = {"file": weights, "num_classes": -1}
    return timm.create_model(
        PRETRAINED, pretrained=True, in_chans=1, num_classes=k, pretrained_cfg_overlay=file
    )


def _cosine(peak: float) -> Rate:
    """A tenth of the time to warm up, then half a cosine."""
    return lambda share: peak * min(10 * share, 1) * (1 + math.cos(math.pi * min(share, 1))) / 2


def _learn(
    model: Any,
    batches: Any,
    optimizer: Any,
    request: Request,
    rate: Rate,
) -> Kept:
    """Step until the minutes are over; the weights at each moment."""
    criterion = _module("torch").nn.CrossEntropyLoss()
    kept: Kept = []
    model.train()
    while True:
        for pixels, targets in batches:
            share = request.share
            if share * MOMENTS >= len(kept) + 1:
                kept.append((request.seconds, deepcopy(model.state_dict())))
            if share >= 1:
                return kept
            for group in optimizer.param_groups:
                group["lr"] = rate(share)
            optimizer.zero_grad()
            criterion(model(pixels), targets).backward()
            optimizer.step()


def _answers(model: Any, kept: Kept, asked: Sequence[str], look: Look) -> Curve:
    """What the weights of each moment answer."""
    torch = _module("torch")
    seen = torch.stack([torch.as_tensor(look(file)) for file in asked])
    model.eval()
    curve = []
    with torch.inference_mode():
        for seconds, state in kept:
            model.load_state_dict(state)
            parts = [model(some).argmax(dim=1) for some in seen.split(_ASKED_AT_ONCE)]
            curve.append((seconds, torch.cat(parts).tolist()))
    return curve


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _module(name: str) -> Any:
    return importlib.import_module(name)


LEARNERS = {one.__name__: one for one in (plain_loop, monai_tutorial, monai_fitted, timm_script)}


def main(name: str, asked: Path, answer: Path) -> None:
    request = Request(**json.loads(asked.read_text(encoding="utf-8")))
    answer.write_text(json.dumps(LEARNERS[name](request)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
