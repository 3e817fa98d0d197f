"""The two servers behind the guard: Prefect's as a program, MLflow's as an app that it loads."""

import os
import socket
import sys

from deployments.stack.guard import Guard

MLFLOW_PORT_VARIABLE, MLFLOW_CREDENTIALS = "NEURO_MLFLOW_PORT", "NEURO_MLFLOW_CREDENTIALS"


def mlflow() -> Guard:
    """What ``mlflow server --app-name neuro`` serves; MLflow itself asks nobody who is calling."""
    from mlflow.server.fastapi_app import app

    here = os.environ
    return Guard(app, port=int(here[MLFLOW_PORT_VARIABLE]), credentials=here[MLFLOW_CREDENTIALS])


def serve_prefect(port: int) -> None:
    """Serve Prefect's API, services and pages, on the socket that is the standard input.

    It asks for the secret itself, as its page does.
    """
    import uvicorn
    from prefect.server.api.server import create_app

    from deployments.stack import failed_run_block  # noqa: F401 - so that the server knows it

    app = Guard(create_app(final=True), port=port)
    listener = socket.socket(fileno=sys.stdin.fileno())
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    server.run(sockets=[listener])
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    serve_prefect(int(sys.argv[1]))
