"""A process that has imported neuro and opened nothing: every victim is forked from it.

It answers each line of JSON on stdin with one on stdout. Run by ``victims.Zygote``.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from deployments.cli import app
from flows import ingest  # noqa: F401 - what a victim needs is imported once
from neuro.lake import images, releases  # noqa: F401
from tasks.load import release_data  # noqa: F401

WATCHED = (
    "neuro/storage",
    "neuro/lake",
    "neuro/ingest/pipeline.py",
    "neuro/ingest/vet_new.py",
    "neuro/ingest/stage_rows.py",
)
WATCHED += ("tasks/ingest.py", "/lance/")


class Watch:
    """Counts the calls and returns of our store, and each of Lance's native ones.

    kill_at: which of them is the process's last. names: what was called, in order.
    """

    def __init__(self, kill_at: int | None) -> None:
        self.kill_at, self.names = kill_at, list[str]()
        self._is_watched: dict[str, bool] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if code.co_filename not in self._is_watched:
            found = any(part in code.co_filename for part in WATCHED)
            self._is_watched[code.co_filename] = found
        is_native = event.startswith("c_")
        if not self._is_watched[code.co_filename] or is_native != ("/lance/" in code.co_filename):
            return
        if is_native and "lance" not in str(type(getattr(argument, "__self__", None))):
            return
        self.names.append(f"{event} {argument.__name__ if is_native else code.co_qualname}")
        if len(self.names) - 1 == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def become(asked: dict[str, Any]) -> NoReturn:
    """Do one `neuro` command and end; what it says goes to files."""
    for name, stream in (("out", 1), ("err", 2)):
        handle = os.open(f"{asked['log']}.{name}", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(handle, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["home"])
    os.environ["NEURO_HOME"] = asked["home"]
    sys.argv = ["neuro", *asked["argv"]]
    watch = Watch(asked["kill_at"])
    if asked["is_watched"]:
        sys.setprofile(watch)
    code: Any = 0
    try:
        app.main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - as the interpreter would end
        traceback.print_exc()
        code = 1
    sys.setprofile(None)
    Path(f"{asked['log']}.names").write_text("\n".join(watch.names))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def answer(asked: dict[str, Any]) -> dict[str, int]:
    if "wait" in asked:
        return {"status": os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])}
    pid = os.fork()
    if pid == 0:
        become(asked)
    return {"pid": pid}


if __name__ == "__main__":
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    threads = [
        name for name in names if name != "jemalloc_bg_thd"
    ]  # of Arrow's allocator, which knows of forks
    print(json.dumps({"threads": len(threads)}), flush=True)  # noqa: T201 - the pipe
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)  # noqa: T201
