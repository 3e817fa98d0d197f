"""The automation of the Prefect server that notifies people of each flow run that failed or died.

The server itself writes down how a run ended, also of one whose process or worker was killed, so
that nothing of the run has to be alive to say so.
"""

from pathlib import Path
from typing import Any

import httpx

from deployments.stack import servers
from tasks.record import notifications

BLOCK_NAME, BLOCK_SLUG = "neuro notifications", "neuro-notifications"
AUTOMATION = "neuro: failed runs"
# No name of the run and no message of its end: either may quote a sample, or what a person typed.
_SUBJECT = "{{ flow.name }} {{ event.resource['prefect.state-name'] | lower }}"
_BODY = """\
flow: {{ flow.name }}
problem: {{ flow_run.parameters.problem | default('as by default') }}
ended: {{ event.resource['prefect.state-name'] }}, {{ event.occurred }}
what to do: read the log of the run; `neuro status` says how to sign in there
run: {{ flow_run | ui_url }}"""


def watch(api: httpx.Client) -> None:
    """Make the block and the automation, or bring them up to date; one that is off stays off."""
    action = {
        "type": "send-notification",
        "block_document_id": _block(api),
        "subject": _SUBJECT,
        "body": _BODY,
    }
    wanted = {
        "name": AUTOMATION,
        "description": "Sends to the addresses of notify.txt in the home (docs/notifications.md).",
        "enabled": True,
        "trigger": {
            "type": "event",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "for_each": ["prefect.resource.id"],
            "expect": [f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")],
            "posture": "Reactive",
            "threshold": 1,
            "within": 0,  # once for each event, not once a minute
        },
        "actions": [action],
    }
    which = {"automations": {"name": {"any_": [AUTOMATION]}}}
    known = servers.send(api, "POST", "/automations/filter", which)
    if not known:
        servers.send(api, "POST", "/automations/", wanted)
    elif known[0]["description"] != wanted["description"] or known[0]["actions"] != [action]:
        kept = {**wanted, "enabled": known[0]["enabled"]}
        servers.send(api, "PUT", f"/automations/{known[0]['id']}", kept)


def tell_of_cut_off(n: int, home: Path) -> None:
    """Notify of runs that were under way when everything was killed, and were closed just now.

    The server's triggers are not awake yet when it answers for the first time, and miss that.
    """
    if n:
        runs = f"{n} run was" if n == 1 else f"{n} runs were"
        body = (
            f"{runs} under way when the stack was stopped or killed, and counted as crashed.\n"
            "what to do: give the same command again, or wait for the schedule; "
            "`neuro journal list claim` shows retrainings, which are taken over by themselves"
        )
        notifications.tell("failed run", f"{runs} cut off", body, home=home)


def _block(api: httpx.Client) -> str:
    """The id of the block by which the automation sends; it holds nothing."""
    servers.send(api, "POST", "/block_types/", {"name": BLOCK_NAME, "slug": BLOCK_SLUG})
    kind = servers.send(api, "GET", f"/block_types/slug/{BLOCK_SLUG}")
    fields: dict[str, Any] = {"type": "object", "title": BLOCK_NAME, "properties": {}}
    fields |= {"block_type_slug": BLOCK_SLUG, "secret_fields": [], "block_schema_references": {}}
    schema = servers.send(
        api,
        "POST",
        "/block_schemas/",
        {"block_type_id": kind["id"], "fields": fields, "capabilities": ["notify"]},
    )
    document = {"name": "failed-runs", "data": {}, "block_type_id": kind["id"]}
    document["block_schema_id"] = schema["id"]
    made = servers.send(api, "POST", "/block_documents/", document)
    if made is None:
        named = f"/block_types/slug/{BLOCK_SLUG}/block_documents/name/failed-runs"
        made = servers.send(api, "GET", named)
    return str(made["id"])
