"""The other end of `new_folders.py`: starts it as a process and hands it batches of folders to write."""

from __future__ import annotations

import contextlib
import marshal
import subprocess
import sys
from collections.abc import Sequence

from daydreaming_dagster.store import new_folders
from daydreaming_dagster.store.new_folders import LENGTH_BYTES, NewFolder

_END_S = 10.0


class FolderProcess:
    """A process that writes new folders. Use it from one thread.

    When it cannot be started, or has died, its work is done here: it makes a run faster and nothing else. It ends with
    the process that started it, even if that is killed, after the batch it has in hand.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None
        try:
            # -I and -S: nothing of the environment and no packages, so that it starts in some hundredths of a second.
            # In a session of its own, because Ctrl-C is for the run to hear of.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", new_folders.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError:
            self._process = None

    def write(self, folders: Sequence[NewFolder]) -> list[int]:
        """Writes folders and says what became of each, as `new_folders.write_new_folders` does."""
        if self._process is not None:
            try:
                return self._hand_over(self._process, folders)
            except (OSError, EOFError):
                self.close()
        return new_folders.write_new_folders(folders)

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is None or process.stdin is None or process.stdout is None:
            return
        with contextlib.suppress(OSError):  # it may have died already
            process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    @staticmethod
    def _hand_over(process: subprocess.Popen[bytes], folders: Sequence[NewFolder]) -> list[int]:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        batch = marshal.dumps(list(folders))
        process.stdin.write(len(batch).to_bytes(LENGTH_BYTES))
        process.stdin.write(batch)
        process.stdin.flush()
        length = process.stdout.read(LENGTH_BYTES)
        if len(length) < LENGTH_BYTES:
            raise EOFError
        results: list[int] = marshal.loads(process.stdout.read(int.from_bytes(length)))
        return results
