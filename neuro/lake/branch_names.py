"""Names of Lance branches: those of users, and those of runs that are not published yet.

Parts of a name are joined by dots. By slashes they would be folders that branches share, and Lance
removes those with one branch while another is being made there (docs/traps.md).
"""


def user_branch(dataset: str, branch: str) -> str:
    """The Lance branch of a user's branch, "" for main."""
    return f"{user_branches(dataset)}.{branch}" if branch else ""


def user_branches(dataset: str = "") -> str:
    """What the names of users' branches, or of those of one dataset, begin with."""
    return f"user.{dataset}" if dataset else "user"


def run_branches(branch: str = "") -> str:
    """What the names of unpublished runs on main, or on one branch, begin with."""
    return f"ingest.{branch}" if branch else "ingest"


def is_user_branch(name: str) -> bool:
    """Whether a Lance branch is one of a user."""
    return name.startswith(f"{user_branches()}.")


def may_hold(branch: str, dataset: str) -> bool:
    """Whether a branch may have releases of a dataset: it is main, or a branch of the dataset."""
    return not branch or branch.startswith(f"{user_branches(dataset)}.")
