"""Somebody who is notified: a real server on loopback, and the list that names it."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Inbox:
    """What came in, and where."""

    address: str
    messages: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def inbox(status: int = 200) -> Iterator[Inbox]:
    """A webhook that takes JSON, and answers each call with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            received.messages.append(json.loads(self.rfile.read(length)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Inbox(address=f"127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silence() -> Iterator[str]:
    """A server that takes a connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def mailbox() -> Iterator[tuple[str, list[str]]]:
    """A mail server that knows what one letter needs of SMTP; the letters that came in."""
    letters: list[str] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:

            def say(line: str) -> None:
                stream.write(f"{line}\r\n".encode())
                stream.flush()

            say("220 here")
            while line := stream.readline().decode().strip().upper():
                say("354 go on" if line == "DATA" else "221 bye" if line == "QUIT" else "250 ok")
                if line == "DATA":
                    read = iter(lambda: stream.readline().decode(), ".\r\n")
                    letters.append("".join(read))
                    say("250 taken")
                if line == "QUIT":
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", letters
        thread.join(10)


def write_list(home: Path, *lines: str) -> Path:
    """The list of addresses of a home, for its owner alone."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "notify.txt"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path
