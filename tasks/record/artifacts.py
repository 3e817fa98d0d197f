"""What a run shows in the Prefect UI: tags, tables of counts, and links. Outside a run, nothing.

No picture and no sample's digest: Prefect keeps an artifact in its events, too, and nothing in its
API forgets one, so an erasure could not take it back. Pages and MLflow hold the pictures.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from neuro.reports import passport_markdown, render

RESEARCH_USE = render.RESEARCH_USE


def flow_run_id() -> str | None:
    """Id of the flow run this is called in, or None outside one."""
    run = FlowRunContext.get()
    return str(run.flow_run.id) if run is not None and run.flow_run is not None else None


def label_run(*tags: str, name: str | None = None) -> None:
    """Add tags to the flow run, and name it once its subject is known."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    run = context.flow_run
    run.tags = sorted({*run.tags, *(tag for tag in tags if tag)})
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, tags=run.tags, name=name or run.name)


def table(key: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """A table of plain values."""
    if flow_run_id() is not None:
        create_table_artifact(
            key=_key(key), table=[dict(row) for row in rows], description=_caption(title)
        )


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for ``table`` whose floats have four decimals."""
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


def markdown(key: str, text: str, title: str) -> None:
    """A text in Markdown."""
    if flow_run_id() is not None:
        create_markdown_artifact(key=_key(key), markdown=text, description=_caption(title))


def link(key: str, url: str, title: str) -> None:
    """A link to a page."""
    if flow_run_id() is not None:
        create_link_artifact(key=_key(key), link=url, link_text=title, description=_caption(title))


def _caption(title: str) -> str:
    return f"**{passport_markdown.plain(title)}**. {RESEARCH_USE}"


def _key(name: str) -> str:
    return name.lower().replace("_", "-")
