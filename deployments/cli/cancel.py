"""The verb that ends a flow run: cancel."""

import os
from dataclasses import asdict
from typing import Annotated

import typer

from deployments import console
from deployments.console import Json

app = typer.Typer()


@app.command()
def cancel(
    run: Annotated[str, typer.Argument(help="Id or name of a flow run, as Prefect shows it.")],
    as_json: Json = False,
) -> None:
    """Cancel a flow run that waits or is under way, wait for its end, and close what it began.

    Example: neuro cancel 0f6c1d7e-5f0a-4d1c-9a34-2b8f6e1c7d90
    """
    from tasks.runtime import settings

    here = settings.load()
    settings.require_servers(here)
    os.environ.update(settings.flow_environment_of(here) | settings.around_proxy())
    from tasks.record import cancelling  # Prefect reads the server's address when it is imported

    with console.only_results_on_stdout():
        ended = cancelling.cancel(run)
    console.show(asdict(ended), as_json=as_json, title="cancel")
