"""A plain call and a recorded run mean the same by every parameter of every flow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest

from deployments import console
from neuro.errors import ConfigError
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks.load.start_weights import StartWeights

FLOWS = sorted(path.stem for path in (Path(__file__).parents[2] / "flows").glob("[a-z]*.py"))

# By type: what a deployment is sent, what the flow gets, and what is refused.
KINDS: dict[Any, tuple[Any, Any, tuple[Any, ...]]] = {
    str: ("brain", "brain", (5, None, ["x"])),
    str | None: ("x", "x", (5, ["x"])),
    int: ("3", 3, ("x", 2.5, None, float("nan"))),
    int | None: ("3", 3, ("x", 2.5)),
    float: ("7.5", 7.5, ("x", None, [])),
    bool: ("true", True, ("perhaps", 7, None)),
    Literal["", "bf16", "f32"]: ("f32", "f32", ("f16", None)),
    Literal["predict", "drift", "retrain"]: ("drift", "drift", ("erase", None)),
    list[str] | None: (["a", "b"], ["a", "b"], ("a", [1], {"a": 1})),
    dict[str, Any] | None: ({"epochs": 3}, {"epochs": 3}, ("x", [1])),
    TrainConfig | None: (
        {"epochs": "3", "learning_rate": "0.1"},
        TrainConfig(epochs=3, learning_rate=0.1),
        ({"epochs": 0}, {"epochs": "x"}, {"epoch": 3}, "x"),
    ),
    StartWeights | None: (
        {"file": "w.pt", "pretrained": "false"},
        StartWeights(file=Path("w.pt")),
        ({"file": 3}, {"weights": "w.pt"}, "w.pt", {"pretrained": "perhaps"}),
    ),
    Machine | None: (
        {"device": "cpu", "devices": "1"},
        Machine(device="cpu"),
        ({"device": "abacus"}, {"devices": 0}, {"precision": 16}),
    ),
}


def parameters() -> Iterator[Any]:
    for name in FLOWS:
        types = get_type_hints(console.load_flow(name).fn)
        types.pop("return")
        for parameter, kind in types.items():
            yield pytest.param(name, parameter, kind, id=f"{name}-{parameter}")


@pytest.mark.parametrize(("name", "parameter", "kind"), list(parameters()))
def test_each_parameter_is_read_alike_by_a_plain_call_and_by_a_deployment(
    name: str, parameter: str, kind: Any
) -> None:
    flow, (sent, wanted, wrong) = console.load_flow(name), KINDS[kind]
    by_deployment = flow.validate_parameters({parameter: sent})[parameter]
    assert (by_deployment, type(by_deployment)) == (wanted, type(wanted))
    for given in (sent, wanted):
        by_call = console.validated(flow, {parameter: given})[parameter]
        assert (by_call, type(by_call)) == (wanted, type(wanted))
    for given in wrong:
        with pytest.raises(Exception, match=parameter):
            flow.validate_parameters({parameter: given})
        with pytest.raises(ConfigError, match=f"{name} was given what .* take: .*{parameter}"):
            console.call(name, is_local=True, **{parameter: given})


def test_a_field_that_is_no_path_is_made_one_also_inside_a_dataclass() -> None:
    given: Any = "w.pt"
    read = console.validated(console.load_flow("train"), {"start": StartWeights(file=given)})
    assert read["start"] == StartWeights(file=Path("w.pt"))


@pytest.mark.parametrize("start", [{"file": "no.pt"}, StartWeights(file=Path("no.pt"))])
def test_weights_that_are_not_there_are_refused_by_name(home: Path, start: Any) -> None:
    with pytest.raises(ConfigError, match=r"no\.pt"):
        console.call("train", is_local=True, start=start)


@pytest.mark.parametrize("given", [{"nope": 1}, {"problem": object()}, {"lake": b"\xff"}])
def test_what_no_flow_takes_is_one_message(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="neuro ingest was given what it does not take: "):
        console.call("ingest", is_local=True, **given)
