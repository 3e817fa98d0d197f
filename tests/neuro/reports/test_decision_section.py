"""The gate's decision in the page of an evaluation."""

import re

import pytest

from neuro.errors import ConfigError
from neuro.reports import decision_section

PAGE = "<h1>Evaluation</h1>\n<!-- decision --><!-- end of decision -->\n<h2>Scores</h2>"
GATE = {
    "name": "no_worse_on_test",
    "outcome": "not shown",
    "value": -0.012,
    "low": -0.08,
    "high": 0.05,
    "threshold": -0.05,
    "passed": False,
    "explanation": "macro-F1 challenger minus champion on the same 40 <b>samples</b>",
}
DECIDED = {
    "decision": "inconclusive",
    "reason": "not shown: no_worse_on_test; run `neuro approve 5`",
    "challenger": "5",
    "champion": "1",
    "look": 3,
    "cause": "monthly",
    "who": "the envelope",
    "gates": [GATE],
    "shadow": {"n": 1200, "agreement": 0.975, "flips": {"glioma -> meningioma": 30}},
}


def test_a_page_has_the_decision_with_each_gate_and_what_it_had() -> None:
    page = decision_section.put(PAGE, DECIDED)
    assert page.startswith("<h1>Evaluation</h1>")
    assert page.endswith("<h2>Scores</h2>")
    for said in (
        *("Inconclusive:", "<code>neuro approve 5</code>", "no worse on test", "not shown"),
        *("-0.012", "-0.08 to 0.05", "challenger 3 of this test set", "97.5 % of 1,200 images"),
        "30 glioma -&gt; meningioma",
    ):
        assert said in page
    assert "<b>samples" not in page


def test_what_it_cost_stands_beside_it_as_far_as_it_is_known() -> None:
    cost = {"seconds": 81.4, "kwh": 0.000542, "labels": 1234}
    said = "81 s of training, 0.000542 kWh (an estimate), 1,234 images that people have labelled"
    assert said in decision_section.put(PAGE, DECIDED | {"cost": cost})
    elsewhere = decision_section.put(PAGE, DECIDED | {"cost": {"labels": 0}})
    assert "What it cost: 0 images that people have labelled" in elsewhere


def test_a_later_decision_takes_the_place_of_an_earlier() -> None:
    first = decision_section.put(PAGE, DECIDED)
    second = decision_section.put(first, DECIDED | {"decision": "promote", "shadow": None})
    assert len(re.findall("What the gate decided", second)) == 1
    assert "Inconclusive" not in second
    assert "Beside the champion" not in second


def test_a_page_of_before_has_no_place_for_it() -> None:
    with pytest.raises(ConfigError, match="no place for a decision"):
        decision_section.put("<h1>Evaluation</h1>", DECIDED)
