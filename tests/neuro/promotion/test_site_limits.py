"""The limits file of a site: what it may say, and how what it may not is refused."""

import hashlib
from pathlib import Path

import pytest

from neuro.errors import ConfigError, UnknownNameError
from neuro.problems import problem as problems
from neuro.promotion import site_limits
from neuro.promotion.site_limits import SiteLimit

BRAIN = problems.load("brain")
GOOD = "# agreed\n[least]\naccuracy = 0.85\nrecall_glioma = 0.8\n[most]\nlog_loss = 1.5\n"


def load(tmp_path: Path, text: str) -> site_limits.SiteLimits:
    path = tmp_path / "limits.toml"
    path.write_text(text, encoding="utf-8")
    return site_limits.load(path, BRAIN.classes, "a file")


def test_limits_are_read_in_their_order_with_text_and_digest_of_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    assert found.limits == (
        SiteLimit(figure="accuracy", bound="least", limit=0.85),
        SiteLimit(figure="recall_glioma", bound="least", limit=0.8),
        SiteLimit(figure="log_loss", bound="most", limit=1.5),
    )
    assert found.text == GOOD
    assert found.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[least]\nacuracy = 0.8", "did you mean 'accuracy'"),
        ("[least]\nrecall_astrocytoma = 0.8", "of glioma, meningioma, notumor, pituitary"),
        ("[lest]\naccuracy = 0.8", "unknown 'lest'; limits stand below"),
        ("accuracy = 0.8", "unknown 'accuracy'; limits stand below"),
        ("[most]\naccuracy = 0.8", r"accuracy is better higher.* below \[least\]"),
        ("[least]\nwrong_of_answered = 0.1", r"better lower.* below \[most\]"),
        ("[least]\naccuracy = 85", "over 0 and under 1, got 85"),
        ("[least]\naccuracy = 0", "over 0 and under 1, got 0"),
        ("[least]\naccuracy = 1.0", "over 0 and under 1, got 1.0"),
        ("[least]\naccuracy = nan", "over 0 and under 1, got nan"),
        ("[least]\naccuracy = true", "over 0 and under 1, got True"),
        ('[least]\naccuracy = "0.8"', "over 0 and under 1, got '0.8'"),
        ("[most]\nlog_loss = inf", "over 0, got inf"),
        ("least = 0.8", r"\[least\] must be a table"),
        ("[least]\n[most]\n", "sets no limit"),
        ("[least", "is not valid TOML"),
        ("# " + "x" * 10_000 + "\n" + GOOD, "write at most 10,000"),
    ],
)
def test_what_limits_nothing_or_is_misspelt_is_refused_by_name(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml does not exist"):
        site_limits.load(tmp_path / "none.toml", BRAIN.classes, "")
    with pytest.raises(UnknownNameError):
        load(tmp_path, "[least]\nnothing = 0.5")


def test_without_a_file_the_recall_floors_of_the_problem_hold() -> None:
    found = site_limits.default(BRAIN)
    limits = {each.figure: each.limit for each in found.limits}
    assert BRAIN.recall_floors == {
        name.removeprefix("recall_"): limit
        for name, limit in limits.items()
        if name.startswith("recall_")
    }
    assert limits.keys() >= {"accuracy", "answered", "wrong_of_answered"}
    assert "which nobody set for this site" in found.origin
    assert found.sha256 == hashlib.sha256(found.text.encode()).hexdigest()
