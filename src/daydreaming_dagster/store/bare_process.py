"""A process that runs one file by itself and is handed work over a pipe; whoever uses it does the work when it cannot.

The file is given nothing of the environment and no packages, so that it starts in some hundredths of a second. It reads
a length and as many bytes, and answers in the same way, until its input is closed or has died.
"""

from __future__ import annotations

import contextlib
import marshal
import subprocess
import sys
from typing import Any

_LENGTH_BYTES = 8
"""The files say it themselves, because they import nothing of ours."""


class BareProcess:
    """Asked and answering in turn, from one thread. It ends with the process that started it, even if that is killed.

    Args:
        path: the file; both ends are the same interpreter, so what is said may be anything that `marshal` takes.

    Attributes:
        popen: the process.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, path: str) -> None:
        # In a session of its own, because Ctrl-C is for this process to hear of. What it could not do is done here, and
        # its trouble told from here.
        self.popen = subprocess.Popen(
            [sys.executable, "-I", "-S", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ask(self, what: Any) -> None:
        """Hands over one piece of work.

        Raises:
            OSError: the process has died.
        """
        if (pipe := self.popen.stdin) is None:
            raise BrokenPipeError
        content = marshal.dumps(what)
        pipe.write(len(content).to_bytes(_LENGTH_BYTES))
        pipe.write(content)
        pipe.flush()

    def answer(self) -> Any:
        """What it answered to the piece of work that was handed over first.

        Raises:
            EOFError: the process has died.
        """
        if self.popen.stdout is None:
            raise EOFError
        length = int.from_bytes(self.popen.stdout.read(_LENGTH_BYTES))
        content = self.popen.stdout.read(length)
        if not length or len(content) < length:
            raise EOFError
        return marshal.loads(content)

    def close(self, patience_s: float = 0.0) -> None:
        """Ends the process, after what it has in hand if that takes no longer than so many seconds."""
        if not patience_s:
            self.popen.kill()
        if self.popen.stdin is not None:
            with contextlib.suppress(OSError):  # it may have died already
                self.popen.stdin.close()
        try:
            self.popen.wait(patience_s or None)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()
