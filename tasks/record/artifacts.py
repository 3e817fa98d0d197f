"""What a run shows in the Prefect UI: tags, tables, pictures and links. Outside a run, nothing."""

import base64
import io
import logging
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.context import FlowRunContext

from tasks.runtime import settings

if TYPE_CHECKING:  # imported when the first figure is drawn: it takes half a second
    from matplotlib.figure import Figure

_PAGE = 20  # artifacts read at once, each up to some 300 kB
_PATIENCE_S = 60.0  # the server writes to the same file

_log = logging.getLogger(__name__)

RESEARCH_USE = "Research use only; not a medical device."


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


def picture(key: str, figure: "Figure", title: str) -> None:
    """A figure, inside the artifact itself: the page needs no other server."""
    if flow_run_id() is None:
        return
    encoded = base64.b64encode(png(figure)).decode()
    create_markdown_artifact(
        key=_key(key),
        markdown=f"{_caption(title)}\n\n![{title}](data:image/png;base64,{encoded})",
        description=_caption(title),
    )


def markdown(key: str, text: str, title: str) -> None:
    """A text in Markdown; pictures stand in it as data."""
    if flow_run_id() is not None:
        create_markdown_artifact(key=_key(key), markdown=text, description=_caption(title))


def link(key: str, url: str, title: str) -> None:
    """A link to a page."""
    if flow_run_id() is not None:
        create_link_artifact(key=_key(key), link=url, link_text=title, description=_caption(title))


def forget(prefix: str, words: Collection[str]) -> int:
    """Delete the artifacts with such a key that hold one of these words; returns how many.

    Only inside a flow run. Prefect keeps an artifact in an event, too, and nothing in its API
    forgets one. In the SQLite file of this installation's server it is forgotten here; any other
    database does so when its retention of events is over.
    """
    if flow_run_id() is None:
        return 0
    wanted = ArtifactFilter(key=ArtifactFilterKey(like_=f"{_key(prefix)}%"))
    with get_client(sync_client=True) as client:
        pages = (
            client.read_artifacts(artifact_filter=wanted, limit=_PAGE, offset=start)
            for start in count(0, _PAGE)
        )
        every = (one for page in takewhile(bool, pages) for one in page)
        meant = [one.id for one in every if any(word in str(one.data) for word in words)]
        for artifact_id in meant:
            client.delete_artifact(artifact_id)
    _empty_events(settings.load().home / "prefect" / "prefect.db", words)
    return len(meant)


def _empty_events(database: Path, words: Collection[str]) -> None:
    """Empty the events on artifacts that hold one of these words, and leave nothing of them.

    Neither on free pages of the file, nor in the log beside it.
    """
    if not database.is_file():
        return
    held_by = "UPDATE events SET payload = '{}' WHERE event LIKE 'prefect.artifact%'"
    try:
        with closing(sqlite3.connect(database, timeout=_PATIENCE_S)) as held:
            for word in words:
                held.execute(f"{held_by} AND instr(payload, ?)", (word,))
            held.commit()
            held.execute("VACUUM")
            held.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        _log.warning("%s still has what was deleted: %s; erase again", database, error)


def png(figure: "Figure") -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _caption(title: str) -> str:
    return f"**{title}**. {RESEARCH_USE}"


def _key(name: str) -> str:
    return name.lower().replace("_", "-")
