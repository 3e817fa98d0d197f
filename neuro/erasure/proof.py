"""Proof of absence: what remains can be read, and no file holds what was erased."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from neuro.erasure import file_search
from neuro.ingest.originals import LandingZone
from neuro.lake import erasure, journal, releases
from neuro.lake.lake import Lake
from neuro.storage import store
from neuro.storage.folder_store import FolderStore
from neuro.storage.location import DEADLINE_S
from neuro.storage.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """Where an installation keeps copies of images beside the lake.

    home: caches, pages, exported predictions. inbox: "" for none, a folder or an s3://bucket/prefix
    on the server of ``endpoint``, None for AWS. landing: where originals are copied to now, told
    likewise; earlier places stand in the journal. deadline_s: of each call to these. drop_page:
    removes what others keep of the page of a problem's drift window, and returns how many did.
    """

    home: Path
    inbox: str = ""
    landing: str = ""
    endpoint: str | None = None
    deadline_s: float = DEADLINE_S
    drop_page: Callable[[str, str], int] = lambda _problem, _window: 0

    def inboxes(self) -> list[Store]:
        """The inbox, if there is one."""
        return [store.open(self.inbox, self.endpoint, self.deadline_s)] if self.inbox else []

    @property
    def landing_zone(self) -> LandingZone:
        """Where originals are copied to now, if anywhere."""
        return LandingZone(where=self.landing, endpoint=self.endpoint, deadline_s=self.deadline_s)


def read_survivors(lake: Lake) -> tuple[int, dict[str, str]]:
    """Read every release that can be read, comparing its content hash.

    Returns how many those are, and the current one of each line by dataset or Lance branch.
    """
    n_survivors = 0
    current = {}
    for view, dataset in erasure.lines(lake):
        for release in releases.history(view, dataset):
            if not release.superseded_by:
                lake.insist(f"check {release.name}", partial(releases.check, lake, release))
                n_survivors += 1
        head = releases.current(view, dataset)
        current[view.branch or dataset] = head.name if head else ""
    return n_survivors, current


def search(
    lake: Lake,
    installation: Installation,
    plan_file: Path,
    pixels: Sequence[bytes],
    texts: Sequence[bytes],
) -> list[str]:
    """Every file of the lake, the home folder and the inbox that holds some of it, sorted.

    plan_file: holds all of it and is not searched. texts: may stand in what says what was done, the
    journal and Prefect's records of the run.
    """
    home = FolderStore(installation.home)
    journals = (f"{lake.store.uri}/{name}.lance/" for name in (journal.TABLE, journal.UNNUMBERED))
    records = (*journals, f"{home.uri}/prefect/", f"{home.uri}/logs/")
    everything = [*pixels, *texts]

    def forbidden(name: str) -> Sequence[bytes]:
        if name == str(plan_file.resolve()):
            return ()
        return pixels if name.startswith(records) else everything

    places = file_search.outermost([lake.store, home, *installation.inboxes()])
    return sorted(name for place in places for name in file_search.search(place, forbidden))
