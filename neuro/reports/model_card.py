"""The card of a model: what it is for, what it was made of, how good it is, and what it cost.

It lies beside the package, not in it: figures come after the package is sealed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neuro.models.package import NOTICE, Package
from neuro.reports import claim_checklist, evaluation_page, render
from neuro.sample import EXTERNAL, SPLITS, Metric

# Watts of a busy core and of a GPU whose draw is not told, and grams of CO2 of a kWh: the averages
# of Lannelongue et al., Green Algorithms, doi:10.1002/advs.202100707. Neither memory nor cooling.
CORE_W, GPU_W, GRAMS_PER_KWH = 12.0, 200.0, 475.0
FORMAT = 1
ABOUT = ("licence", "citation", "population")  # of a passport
SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "classwise_ece")

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Figures of one evaluation.

    name: the split, or ``EXTERNAL``. source: the release, or what the images of another source are.
    report: file name of the page, "" for none. note: what flatters them, "" for nothing.
    content_hash: of the images, "" where a package does not say it.
    """

    name: str
    source: str
    metrics: Sequence[Metric]
    report: str = ""
    note: str = ""
    content_hash: str = ""


def energy(seconds: float, cores: int, gpus: int) -> Facts:
    """An estimate of what a training drew: kWh, and grams of CO2 at the world's average."""
    watts = cores * CORE_W + gpus * GPU_W
    of_gpus = f", {GPU_W:.0f} W for each of {gpus} GPUs" if gpus else ""
    kwh = watts * seconds / 3.6e6
    return {
        "kwh": float(f"{kwh:.3g}"),
        "grams_co2": float(f"{kwh * GRAMS_PER_KWH:.3g}"),
        "estimate": f"estimated from {seconds:.0f} s at {watts:.0f} W ({CORE_W:.0f} W for each of "
        f"{cores} cores{of_gpus}) and {GRAMS_PER_KWH:.0f} g CO2 a kWh, without memory and cooling; "
        "nothing was measured",
    }


def facts(
    package: Package,
    passport: Mapping[str, Any],
    *,
    population: Sequence[Mapping[str, Any]],
    cost: Mapping[str, Any] | None,
) -> Facts:
    """What is known when the package is sealed, as plain values.

    passport: of the release. population: a row for each split: images, groups, and by class. cost:
    seconds, machine and energy of the training; None where that is not known.
    """
    card, about = package.card, passport.get("about") or {}
    return {
        "format": FORMAT,
        "model": package.digest,
        "notice": NOTICE,
        "problem": card.problem,
        "intended_use": card.intended_use,
        "classes": list(card.classes),
        "architecture": card.architecture,
        "is_synthetic": card.synthetic,
        "data": {
            **card.pin,
            "dataset": card.dataset,
            "splitting": card.splitting,
            "about": {key: about.get(key) or "" for key in ABOUT},
            "population": [dict(row) for row in population],
        },
        "preprocess": asdict(card.preprocess),
        "training": {
            **card.training,
            "code_revision": card.code_revision,
            "lock_hash": card.lock_hash,
            "trials": card.trials,
            "weights_sha256": card.weights_sha256,
            "weights_licence": card.weights_licence,
            "weights_source": card.weights_source,
        },
        "cost": dict(cost) if cost else None,
        "calibration": {
            "n": card.calibration.n,
            "temperature": card.calibration.temperature,
            "class_offsets": list(card.calibration.class_offsets),
            "alpha": card.calibration.alpha,
            "decides_by_class": card.calibration.decides_by_class,
        },
        "leak": card.leak,
        "figures": [
            asdict(
                Figures(
                    name="val",
                    source=str(card.pin["release"]),
                    metrics=card.metrics,
                    content_hash=str(card.pin["content_hash"]),
                )
            )
        ],
    }


def with_evaluation(told: Mapping[str, Any], figures: Figures) -> Facts:
    """The facts with the figures of one more evaluation, in place of those of the same images."""
    new = asdict(figures)
    others = [row for row in told["figures"] if not _is_same(row, new)]
    return {**told, "figures": [*others, new]}


def _is_same(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(row[key] == other[key] for key in ("name", "content_hash"))


def limits(told: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the figures."""
    about = told["data"]["about"]
    said = [f"{told['notice']}"]
    if told["is_synthetic"]:
        said.append(render.SYNTHETIC)
    if not about.get("population"):
        said.append("Nothing is written down of whom its images show.")
    if told["leak"]:
        said.append(f"Its figures flatter: {told['leak']}.")
    if told["training"]["trials"]:
        n = told["training"]["trials"]
        said.append(f"Its recipe is the best of {n} on val, which flatters val.")
    scored = {row["name"] for row in told["figures"]}
    if EXTERNAL not in scored:
        said.append("It was not tested on images of another source.")
    if "test" not in scored:
        said.append("It was not scored on its test split yet.")
    return said


def claim(told: Mapping[str, Any]) -> list[claim_checklist.Item]:
    """CLAIM 2024 with what the facts answer."""
    data, training, about = told["data"], told["training"], told["data"]["about"]
    preprocess, members = told["preprocess"], told["architecture"].split("+")
    newest = {row["name"]: row for row in told["figures"]}
    test, external = newest.get("test"), newest.get(EXTERNAL)
    see_report = f"evaluation on test, {test['report']}" if test else ""
    start = "at random"
    if training["weights_sha256"]:
        where = training["weights_source"] or "a file"
        start = f"weights of {where}, SHA-256 {training['weights_sha256'][:16]}"
    answers = {
        1: "deep learning: a network that classifies images",
        3: told["intended_use"],
        7: about.get("citation", ""),
        9: f"{preprocess['mode']}, {preprocess['size_px']} px, {preprocess['fit']}, intensity "
        f"{preprocess['intensity']}",
        12: f"images without a label are not trained on; passport of release {data['release']}",
        19: f"splits {data['splitting']} of release {data['release']}, by group, by seed",
        20: "group: a patient or lesion where an id exists, and all near copies of an image",
        22: f"{told['architecture']}; the whole graph is model.onnx of the package",
        23: f"neuro, code {training['code_revision']}{_lock(training)}; versions are in the MLflow "
        "run",
        24: start,
        25: "model.json of the package, field training",
        26: f"the best of {training['trials']} recipes on val"
        if training["trials"]
        else "the weights at the end of the recipe, averaged; nothing was chosen by test",
        27: f"mean of the logits of {len(members)} members" if len(members) > 1 else "none",
        28: "docs/evaluation.md, What the figures say",
        29: "95 % intervals by group: docs/evaluation.md, Intervals",
        31: see_report and f"class maps, {see_report}",
        32: see_report,
        33: f"{external['source']}: {external['report']}" if external else "",
        35: f"{sum(row['images'] for row in data['population'])} labelled images: table of splits"
        if data["population"]
        else "",
        36: f"images and groups by class and split: table of splits; passport of {data['release']}",
        37: _accuracy(test["metrics"]) if test else "",
        39: see_report and f"errors with pictures, {see_report}",
        40: " ".join(limits(told)),
        43: f"package {told['model']}; data: {about.get('licence', '')}",
    }
    return claim_checklist.filled(answers)


def build(told: Mapping[str, Any]) -> str:
    """The page."""
    order = [*SPLITS, EXTERNAL]
    figures = []
    for row in sorted(told["figures"], key=lambda row: order.index(row["name"])):
        by_name = {metric["name"]: Metric(**metric) for metric in row["metrics"]}
        values = [str(by_name.get(name, "none")) for name in SHOWN]
        images = by_name["accuracy"].n
        figures.append((row["name"], row["source"], images, *values, row["report"], row["note"]))
    return render.render(
        "model_card.html",
        told=told,
        is_synthetic=told["is_synthetic"],
        limits=limits(told),
        headers=[
            "Split",
            "Of",
            "Images",
            *(evaluation_page.NAMED[n] for n in SHOWN),
            "Page",
            "Note",
        ],
        figures=figures,
        population=[
            (
                *(row["split"], row["images"], row["groups"]),
                *(row["by_class"][name] for name in told["classes"]),
            )
            for row in told["data"]["population"]
        ],
        claim=[(item.number, item.section, item.topic, item.answer) for item in claim(told)],
        for_authors=claim_checklist.FOR_AUTHORS,
    )


def _lock(training: Mapping[str, Any]) -> str:
    """The lock of its environment, which cards of before do not name."""
    named = training.get("lock_hash", "")
    return f", environment of lock {named[:12]}" if named else ""


def _accuracy(metrics: Sequence[Mapping[str, Any]]) -> str:
    found = next((row for row in metrics if row["name"] == "accuracy"), None)
    return f"accuracy on test {Metric(**found)}; all figures in the table" if found else ""
