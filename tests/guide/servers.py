"""Servers of the documentation, started as a reader starts them, on free ports of loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tests.guide.shell import GuideShell

T = TypeVar("T")

_WAIT_S, _LOOK_EVERY_S = 240, 0.5


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, body: Any = None) -> str:
    """What a page or a GraphQL endpoint answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


@contextlib.contextmanager
def serve(shell: GuideShell, line: str) -> Iterator[Server]:
    """Starts a line that serves until it is ended, and ends it as Ctrl-C does, with all processes it has started."""
    with (shell.folder / "server.log").open("w") as log:
        process = shell.start(line, log)
        try:
            yield Server(process, shell.folder / "server.log")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Server:
    """A running server and what it says."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def wait_for(self, look: Callable[[], T | None], what: str) -> T:
        """The first thing that `look` finds; a refused connection means not yet."""
        give_up = time.monotonic() + _WAIT_S
        while time.monotonic() < give_up:
            assert self._process.poll() is None, self.read_log()
            with contextlib.suppress(OSError):
                if (found := look()) is not None:
                    return found
            time.sleep(_LOOK_EVERY_S)
        raise AssertionError(f"{what} did not happen within {_WAIT_S} s:\n{self.read_log()}")

    def read_log(self) -> str:
        return self._log.read_text()[-8000:]
