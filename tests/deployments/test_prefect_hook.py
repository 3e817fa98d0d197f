import pytest

from deployments import prefect_hook

STACK = {
    "home": "/home/of/stack",
    "lake": "/lake",
    "prefect_api_url": "http://127.0.0.1:4999/api",
    "mlflow_tracking_uri": "http://127.0.0.1:4998",
    "pids": {"prefect": 1},
}


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("deployment run retrain", "deployment run retrain/retrain"),
        ("deployment run retrain -p a=1", "deployment run retrain/retrain -p a=1"),
        ("deployment inspect ingest", "deployment inspect ingest/ingest"),
        ("deployment run retrain-gpu", "deployment run retrain/retrain-gpu"),
        ("deployment run retrain/retrain", "deployment run retrain/retrain"),
        ("deployment run --id 5", "deployment run --id 5"),
        ("deployment run", "deployment run"),
        ("deployment ls retrain", "deployment ls retrain"),
        ("flow-run inspect 7", "flow-run inspect 7"),
        ("", ""),
    ],
)
def test_a_bare_deployment_name_becomes_flow_and_deployment(typed: str, read: str) -> None:
    assert prefect_hook.full_name(["prefect", *typed.split()]) == ["prefect", *read.split()]


def test_the_running_stack_is_supplied() -> None:
    added = prefect_hook.missing({}, STACK)
    assert added["PREFECT_API_URL"] == "http://127.0.0.1:4999/api"
    assert added["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:4998"
    assert added["NEURO_LAKE"] == "/lake"


def test_the_secret_of_the_running_stack_is_known_to_its_clients() -> None:
    added = prefect_hook.missing({}, {**STACK, "secret": "s"})
    assert added["PREFECT_API_AUTH_STRING"] == "neuro:s"
    assert (added["MLFLOW_TRACKING_USERNAME"], added["MLFLOW_TRACKING_PASSWORD"]) == ("neuro", "s")
    elsewhere = {"PREFECT_API_URL": "http://cluster/api"}
    assert "PREFECT_API_AUTH_STRING" not in prefect_hook.missing(
        elsewhere, {**STACK, "secret": "s"}
    )


@pytest.mark.parametrize("url", ["http://[", "http://127.0.0.1:1", "nonsense"])
def test_an_address_that_leads_nowhere_is_left_to_prefect_to_tell(url: str) -> None:
    argv = ["prefect", "deployment", "run", "retrain/retrain-gpu"]
    told = {"PREFECT_API_URL": url}
    assert not prefect_hook.names_unknown_gpu_deployment(argv, told)


def test_a_variable_of_the_user_stays() -> None:
    assert "NEURO_LAKE" not in prefect_hook.missing({"NEURO_LAKE": "s3://mine"}, STACK)


def test_another_server_of_the_user_is_not_mixed_with_the_stack() -> None:
    added = prefect_hook.missing({"PREFECT_API_URL": "http://cluster/api"}, STACK)
    assert "MLFLOW_TRACKING_URI" not in added


@pytest.mark.parametrize("stack", [{}, {**STACK, "lake": None}])
def test_without_a_usable_stack_only_the_logs_are_set(stack: dict[str, object]) -> None:
    assert set(prefect_hook.missing({}, stack)) == {
        "PREFECT_LOGGING_EXTRA_LOGGERS",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW",
        *("NO_PROXY", "no_proxy"),
    }
