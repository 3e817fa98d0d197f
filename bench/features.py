"""A pretrained embedding in every place that compares images, beside what is used there now."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from bench import plants, suspects
from bench.uses import embedding_drift, label_suspects, near_copies, pictures, scope, similar_cases
from bench.uses.compared import Row
from bench.uses.pictures import NEW, PRETRAINED, RANDOM
from neuro.features import embedding
from neuro.models import weights_packages

IMAGES = 1200
COPIES = 40


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench features", description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help="of each set, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    weights = weights_packages.find(PRETRAINED)
    if weights is None:
        parser.error(f"no weights of {PRETRAINED} are here; get them by {weights_packages.INSTALL}")
    _run(Path(data), weights, options)


def _run(data: Path, weights: Path, options: argparse.Namespace) -> None:
    encoders = {
        RANDOM: pictures.random_start(),
        NEW: embedding.backbone(PRETRAINED, weights),
    }
    print(_legend(encoders[NEW].input.size_px, encoders[NEW].precision, options.images))
    print(
        f"{'task':26}{'set':7}{'now':17}{'':>7}  {'pretrained embedding':39}{'':>7}"
        f"{'difference':>24}{'CPU s':>16}  verdict"
    )
    sets = {name: pictures.load(data, name, options.images, options.seed) for name in plants.SETS}
    strangers = {name: list(of.stored) for name, of in sets.items()}
    strangers["photographs"] = scope.photographs()
    for name, of in sets.items():
        ways = {way: pictures.encode(way, encoder, of.stored) for way, encoder in encoders.items()}
        similar = similar_cases.measure(of, ways[NEW], ways[RANDOM])
        _show(similar)
        thumb_cpu_s = similar[0].now.cpu_s
        _show(label_suspects.measure(of, ways[NEW], thumb_cpu_s, options.seed))
        n = options.images // 3
        _show(near_copies.measure(data, name, encoders[NEW], n, COPIES, options.seed))
        _show(embedding_drift.measure(of, encoders[NEW], n, options.seed))
        others = {kind: stored for kind, stored in strangers.items() if kind != name}
        _show(scope.measure(of, others, ways, encoders, options.seed))


def _show(rows: Iterable[Row]) -> None:
    for row in rows:
        now, new = row.now.scores.mean(), row.new.scores.mean()
        cost = f"{row.now.cpu_s:.1f} {row.new.cpu_s:.1f}"
        print(
            f"{row.task:26}{row.data:7}{row.now.way:17}{now:7.3f}  {row.new.way:39}{new:7.3f}"
            f"{f'{new - now:+.3f} [{row.low:+.3f}, {row.high:+.3f}]':>24}{cost:>16}  {row.verdict}",
            flush=True,
        )


def _legend(size_px: int, precision: str, images: int) -> str:
    return (
        f"{images} images of each set, {COPIES} copies of each kind among a third as many. "
        f"lite0: {PRETRAINED} of ImageNet weights at {size_px} px,\nin {precision}; nothing of it "
        "is trained here. difference: new less now, 95 % of redraws of groups (of draws of errors "
        "for suspects,\nof copies, of windows). CPU s: of the vectors of 1,000 images, now and new."
        " verdict: by the interval.\n\n"
        "similar: the nearest image of another group has the same label; by cosine.\n"
        f"label suspects: average precision, {suspects.SHARE:.0%} of the labels changed, "
        f"{label_suspects.DRAWS} draws.\n"
        "near copies: copies in one cluster with their source; the cosine of embeddings is set so "
        "that as many pairs of real\nimages are joined as by the search of the passport.\n"
        f"drift: windows of {embedding_drift.GROUPS} groups that alarm at "
        f"{embedding_drift.ALPHA:g}, of {embedding_drift.WINDOWS}; scanner x: the simulated one, "
        "that much of it.\n"
        "out of scope: AUROC by Mahalanobis distance; trained: resnet_small, "
        f"{scope.EPOCHS} epochs on a third of the images.\n"
        "Strangers of a grey problem are grey; all of them are saved as JPEG again.\n"
    )
