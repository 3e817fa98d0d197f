"""Names that several parts must agree on: a branch in Lance, and marks in a table's configuration.

The marks stand in the configuration of ``releases``, whose update is Lance's one compare-and-set.
"""

from neuro.store.lake import Lake


def line(dataset: str, branch: str) -> str:
    """The Lance branch of a user's branch, "" for main."""
    return f"user/{dataset}/{branch}" if branch else ""


def head_key(lake: Lake, dataset: str) -> str:
    """The key of the releases table's configuration that names the current release."""
    branch = lake.branch.rpartition("/")[2]
    return f"head.{dataset}@{branch}" if branch else f"head.{dataset}"


def pending(lake: Lake) -> set[str]:
    """Runs that began to write to this branch's tables and have not published a release yet."""
    config = lake.open("releases").config()
    asked = pending_key(lake, "")
    return {key.removeprefix(asked) for key in config if key.startswith(asked)}


def pending_key(lake: Lake, run: str) -> str:
    """The key of the releases table's configuration that says a run is half written."""
    return f"pending@{lake.branch}/{run}"
