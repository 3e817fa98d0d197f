"""The end of the demonstration as a person reads it."""

from pathlib import Path

import pytest
from rich.console import Console

from deployments import console
from deployments.demo import demo

RUN = "http://127.0.0.1:4200/runs/flow-run/01234567-89ab-4cde-8f01-23456789abcd"
MODELS = "http://127.0.0.1:5000/#/models/neuro-brain"
ROOM = "http://127.0.0.1:8501/work"
EVALUATION = "/far/away/reports/evaluation/brain/brain-0003/1-test.html"
CURL = f"curl -F files=@{'/far/away' * 9}.png http://127.0.0.1:8000/v1/predictions"
REPORT = "/far/away" * 9 + "/reports/brain-0003.html"  # longer than a line
METRIC = {"name": "macro_f1", "value": 0.9, "low": 0.8, "high": 0.95, "n": 300, "groups": 280}
SIDE = {"shifted": {"macro_f1": METRIC}, "old_test": {"macro_f1": METRIC}}
STEPS = [
    ("ingest the third: new scanner", "802 accepted; release brain-0003-0123456789"),
    ("has it drifted?", "retrain: Harm is measured: accuracy went from 96 % to 65 % on 400 images"),
    ("retrain", "promote: all 5 gates passed; started by automation retrain__automation_1"),
]
SUMMARY = {
    "seconds": 215.4,
    "is_synthetic": True,
    "steps": [
        {"step": step, "result": result, "seconds": 12.3, "flow_run": RUN}
        for step, result in STEPS
    ],
    "retrain": {"champion": SIDE, "challenger": SIDE},
    "asked": {"curl": CURL},
    "pages": {
        "prefect": RUN,
        "mlflow": MODELS,
        "report": REPORT,
        "evaluation": EVALUATION,
        "reading_room": ROOM,
    },
}


def test_the_end_fits_80_columns_and_has_every_address_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Console(width=80, record=True, highlight=False, quiet=False)
    monkeypatch.setattr(console, "err", terminal)
    demo.print_end(SUMMARY, Path("/far/away/summary.json"), {})
    lines = [line.rstrip() for line in terminal.export_text().splitlines()]
    addresses = [RUN, MODELS, EVALUATION, REPORT, ROOM, "/far/away/summary.json", CURL]
    assert [line.strip() for line in lines if line.strip() in addresses] == addresses
    assert max(len(line) for line in lines if line.strip() not in addresses) <= 80
    assert len(lines) < 40
    assert any("3 min 35 s" in line for line in lines)
