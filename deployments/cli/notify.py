"""The verb about notifications: notify."""

from typing import Annotated

import typer

from deployments import console
from deployments.console import Json

app = typer.Typer()


@app.command()
def notify(
    test: Annotated[
        bool, typer.Option("--test", help="Send a message to each, and say whether it was taken.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List who is notified, by scheme and host; with --test, exit code 3 if one is not reached.

    The addresses are the lines of notify.txt in the home. Example: neuro notify --test
    """
    from neuro.errors import ConfigError
    from tasks.record import notifications

    known = notifications.addresses()
    if not test:
        rows: list[dict[str, object]] = [{"address": each.name} for each in known]
        console.show(rows, as_json=as_json, title="notified")
        return
    if not known:
        raise ConfigError(
            f"{notifications.list_file()} names nobody; write an Apprise URL a line into it, such "
            "as mailtos://USER:PASSWORD@HOST?to=ADDRESS, and run chmod 600 (docs/notifications.md)"
        )
    deliveries = notifications.try_out()
    rows = [
        {"address": each.address, "delivered": each.is_delivered, "why not": each.why}
        for each in deliveries
    ]
    console.show(rows, as_json=as_json, title="notify --test")
    if not all(each.is_delivered for each in deliveries):
        raise typer.Exit(3)
