"""A real S3 server on loopback: Ceph's monitor, one store in memory and its gateway.

The packages are Debian's and Ubuntu's: ceph-mon ceph-osd radosgw ceph-common.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool")
OWNER = ("owner-key", "owner-secret")
PATIENCE_S = 60.0

CONFIG = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon}/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
keyring = {home}/keyring
run dir = {home}
log file = {home}/$name.log
admin socket = {home}/$name.asok
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 2
paxos propose interval = 0.05
paxos min wait = 0.01
[mon.a]
mon data = {home}/mon
[osd.0]
osd data = {home}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
[client.rgw]
rgw data = {home}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw run sync thread = false
rgw thread pool size = 64
"""


def missing() -> list[str]:
    """The programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@dataclass
class Server:
    """A running server; ``users`` can be added at any time."""

    home: Path
    port: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add_user(self, name: str) -> tuple[str, str]:
        """Make a user without any rights; returns access key and secret."""
        keys = f"{name}-key", f"{name}-secret"
        made = ["user", "create", f"--uid={name}", f"--display-name={name}"]
        made += [f"--access-key={keys[0]}", f"--secret-key={keys[1]}"]
        json.loads(self._call("radosgw-admin", "-n", "client.rgw", *made))
        return keys

    def stop(self) -> None:
        """The gateway first, the monitor last."""
        for program in reversed(self.running):
            program.terminate()
            try:
                program.wait(5)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def _call(self, program: str, *arguments: str) -> str:
        named = [program, "-c", str(self.home / "ceph.conf"), *arguments]
        done = subprocess.run(
            named, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(named)}: {done.stderr[-500:]}")
        return done.stdout

    def _start(self, program: str, *arguments: str) -> None:
        with (self.home / f"{program}.out").open("wb") as log:
            named = [program, "-c", str(self.home / "ceph.conf"), *arguments, "-f"]
            self.running.append(subprocess.Popen(named, stdout=log, stderr=log))


def start(home: Path) -> Server:
    """Start a server with an empty store on free ports; takes about four seconds."""
    mon, port = _free_ports(2)
    fsid, osd = str(uuid4()), str(uuid4())
    for folder in ("mon", "osd", "rgw"):
        (home / folder).mkdir(parents=True)
    (home / "ceph.conf").write_text(CONFIG.format(home=home, fsid=fsid, mon=mon, port=port))
    server = Server(home, port)
    try:
        _make_keys(home)
        shape = ["--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon}]"]
        _run("monmaptool", *shape, str(home / "monmap"))
        maps = ["--monmap", str(home / "monmap"), "--keyring", str(home / "keyring")]
        server._call("ceph-mon", "-i", "a", "--mkfs", *maps)
        server._start("ceph-mon", "-i", "a")
        _until(lambda: server._call("ceph", "--connect-timeout", "2", "mon", "stat"))
        server._call("ceph", "osd", "new", osd, "0")
        server._call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        server._start("ceph-osd", "-i", "0")
        _until(lambda: server._call("ceph", "osd", "stat").index("1 up"))
        server._start("radosgw", "-n", "client.rgw")
        _until(lambda: socket.create_connection(("127.0.0.1", port), 1).close())
        owner = ["--access-key", OWNER[0], "--secret-key", OWNER[1], "--display-name", "owner"]
        _until(lambda: server._call("radosgw-admin", "user", "create", "--uid", "owner", *owner))
    except BaseException:
        server.stop()
        raise
    return server


def _make_keys(home: Path) -> None:
    ring = str(home / "keyring")
    everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
    for number, name in enumerate(("mon.", "client.admin", "client.rgw", "osd.0")):
        create = ["--create-keyring"] if number == 0 else []
        _run("ceph-authtool", ring, *create, "-n", name, "--gen-key", *everything)


def _run(*named: str) -> None:
    subprocess.run(named, capture_output=True, timeout=PATIENCE_S, check=True)


def _until(attempt: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            attempt()
        except (RuntimeError, ValueError, OSError):
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            return


def _free_ports(n: int) -> list[int]:
    held = [socket.socket() for _ in range(n)]
    try:
        for sock in held:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()
