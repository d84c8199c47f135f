"""The other end of `new_folders.py`: starts it as a process and hands it batches of folders to write."""

from __future__ import annotations

from collections.abc import Sequence

from daydreaming_dagster.store import new_folders
from daydreaming_dagster.store.bare_process import BareProcess
from daydreaming_dagster.store.new_folders import NewFolder

_END_S = 10.0


class FolderProcess:
    """A process that writes new folders. Use it from one thread.

    When it cannot be started, or has died, its work is done here: it makes a run faster and nothing else. It ends with
    the process that started it, even if that is killed, after the batch it has in hand.
    """

    def __init__(self) -> None:
        self._process: BareProcess | None
        try:
            self._process = BareProcess(new_folders.__file__)
        except OSError:
            self._process = None

    def write(self, folders: Sequence[NewFolder]) -> list[int]:
        """Writes folders and says what became of each, as `new_folders.write_new_folders` does."""
        if self._process is not None:
            try:
                self._process.ask(list(folders))
                results: list[int] = self._process.answer()
            except (OSError, EOFError):
                self.close()
            else:
                return results
        return new_folders.write_new_folders(folders)

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.close(_END_S)
