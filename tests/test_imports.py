"""Importing a module of ours changes no variable of the environment and no log level."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
PACKAGES = ("neuro", "monitoring", "tasks", "flows", "deployments")
STATE_AFTER_IMPORTING = """
import importlib, json, logging, os, sys
before = set(sys.modules)
for name in json.load(sys.stdin):
    importlib.import_module(name)
known = logging.root.manager.loggerDict
levels = {name: one.level for name, one in known.items() if isinstance(one, logging.Logger)}
print(json.dumps({
    "environment": dict(os.environ),
    "levels": {"root": logging.root.level, **levels},
    "modules": [
        name
        for name, module in sys.modules.items()
        if name not in before and getattr(module, "__spec__", None) is not None
    ],
}))
"""


def test_no_import_changes_a_variable_or_a_log_level() -> None:
    """Each is as it was, or as the packages of others that ours import leave it."""
    ours = state_after_importing(our_modules())
    theirs = state_after_importing([name for name in ours["modules"] if is_theirs(name)])
    before = {"environment": environment(), "levels": {"root": logging.WARNING}}
    for kind, unset in (("environment", None), ("levels", logging.NOTSET)):
        changed = {
            name: value
            for name, value in ours[kind].items()
            if value not in (before[kind].get(name, unset), theirs[kind].get(name, unset))
        }
        assert changed == {}
        assert before[kind].keys() - ours[kind].keys() == set()


def our_modules() -> list[str]:
    files = [path for name in PACKAGES for path in sorted((PROJECT / name).rglob("*.py"))]
    names = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in files]
    return [name.removesuffix(".__init__") for name in names]


def is_theirs(name: str) -> bool:
    return name.split(".")[0] not in PACKAGES


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def state_after_importing(names: list[str]) -> dict[str, Any]:
    """Variables, log levels and new modules in a process that has imported these."""
    done = subprocess.run(
        [sys.executable, "-c", STATE_AFTER_IMPORTING],
        cwd=PROJECT,
        env=environment(),
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
