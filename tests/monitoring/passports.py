"""A passport as a release of the brain data has it, made by hand; and a reader of pages."""

import hashlib
from html.parser import HTMLParser
from typing import Any

HOSTILE = "<script>alert('x')</script>"


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def member(name: str, label: str, given: str, own: str = "train") -> dict[str, str]:
    return {"sample_id": digest(name), "label": label, "split": own, "given_split": given}


def old() -> dict[str, Any]:
    """What releases had before suspects, confounds and groups were inspected."""
    return {
        "images": 6624,
        "groups": 2656,
        "labels": {"glioma": 1490, "meningioma": 1407, "notumor": 1566, "pituitary": 2161},
        "splits": {"calibration": 424, "test": 911, "train": 4803, "val": 486},
        "twins": {
            "exact_groups": 1705,
            "near_groups": 1359,
            "given_test_with_train_twin": 1043,
            "given_test": 1311,
            "cross_label_groups": 8,
        },
        "lookup": {"given": 0.9825, "random": 0.9613, "grouped": 0.8859, "test": 0.8716},
        "is_synthetic": False,
    }


def full() -> dict[str, Any]:
    """Every part, with plausible values."""
    sealed = old()
    sealed["twins"]["examples"] = [
        [member("a", "glioma", "test"), member("b", "glioma", "train")],
        [member("c", "pituitary", "train"), member("d", "meningioma", "train", "val")],
    ]
    common = {"chance": 0.8, "balanced_chance": 0.25}  # one class is common
    sealed["confounds"] = [
        {
            "name": "all",
            "accuracy": 0.84,
            "balanced": 0.71,
            "low": 0.43,
            "is_named": True,
            **common,
        },
        {
            "name": "mode",
            "accuracy": 0.81,
            "balanced": 0.53,
            "low": 0.25,
            "is_named": True,
            **common,
        },
        {
            "name": "border_spread",
            "accuracy": 0.8,
            "balanced": 0.27,
            "low": -0.01,
            "is_named": False,
            **common,
        },
    ]
    sealed["sources"] = [
        {"name": "given split", "accuracy": 0.82, "chance": 0.81, "values": ["test", "train"]}
    ]
    sealed["label_suspects"] = [
        {
            "sample_id": digest("s"),
            "sha256": digest("s"),
            "score": 0.97,
            "label": "glioma",
            "suggested": "notumor",
            "neighbours": [
                {"sample_id": digest("n1"), "label": "notumor"},
                {"sample_id": digest("n2"), "label": "notumor"},
            ],
        }
    ]
    sizes = {"1": 1297, "2": 1089, "3-5": 112, "6-20": 131, "over 20": 27}
    sealed["grouping"] = {"alone": 1297, "id": 0, "twins": 1359, "both": 0, "largest": 78}
    sealed["grouping"]["sizes"] = sizes
    sealed["metadata"] = [{"column": "age", "missing": 57, "impossible": 39, "values": "0 to 85"}]
    sealed["identifiers"] = {"EXIF": 12, "JPEG comment": 431, "XMP": 0}
    sealed["about"] = {
        "licence": "CC0",
        "citation": "M. Nickparvar",
        "intended_use": "Research.",
        "population": "Adults of three collections.",
    }
    return sealed


class Reader(HTMLParser):
    """What a page holds: its text, its tags with attributes, and whether they nest."""

    VOID = ("meta", "img", "br", "!doctype")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.is_nested = True
        self.style = ""
        self.feed(page)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.is_nested &= bool(self.open) and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def outside(self) -> list[str]:
        """Whatever would be fetched from elsewhere, or run."""
        own = {"src": "data:", "href": "#"}
        found = [
            value
            for _, attributes in self.tags
            for name, value in attributes.items()
            if (name in own and not value.startswith(own[name]))
            or name in ("srcset", "action", "data", "poster")
            or name.startswith("on")
        ]
        found += [tag for tag, _ in self.tags if tag in ("script", "link", "iframe", "object")]
        return found + [word for word in ("url(", "@import") if word in self.style]

    @property
    def is_whole(self) -> bool:
        return self.is_nested and not self.open
