"""The other end of `generation_files.py`: starts it as several processes and hands out folders to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daydreaming_dagster.store import generation_files
from daydreaming_dagster.store.bare_process import BareProcess
from daydreaming_dagster.store.generation_files import FoundFiles, read_folder

_MOST_PROCESSES, _FOLDERS_EACH = 32, 1000
_BATCH = 100


def read_folders(
    parent: str, folders: Sequence[str], names: Sequence[str], looked_for: Sequence[str]
) -> Iterator[FoundFiles]:
    """What `read_folder` finds in each of many folders below a parent, in their order.

    Processes make it faster and nothing else: the work of one that cannot be started, or has died, is done here. They
    end with this process, even if that is killed.
    """
    batches = [list(folders[start : start + _BATCH]) for start in range(0, len(folders), _BATCH)]
    # Far more than there are cores: nearly all of them wait for the disk at any time.
    wanted = min(_MOST_PROCESSES, -(-len(folders) // _FOLDERS_EACH))
    readers = [_Reader(parent, list(names), list(looked_for)) for _ in range(wanted)]
    try:
        for reader, batch in zip(readers, batches, strict=False):
            reader.ask(batch)
        for at in range(len(batches)):
            reader = readers[at % len(readers)]
            found = reader.answer()
            # Never more than one batch in hand: with two, both ends could wait for the other to empty a full pipe.
            if at + len(readers) < len(batches):
                reader.ask(batches[at + len(readers)])
            yield from found
    finally:
        for reader in readers:
            reader.close()


class _Reader:
    """One process, asked and answering in turn."""

    def __init__(self, parent: str, names: list[str], looked_for: list[str]) -> None:
        self._parent, self._wanted = parent, (names, looked_for)
        self._batch: list[str] = []
        self._process: BareProcess | None
        try:
            self._process = BareProcess(generation_files.__file__)
        except OSError:
            self._process = None

    def ask(self, batch: list[str]) -> None:
        self._batch = batch
        if self._process is not None:
            try:
                self._process.ask((self._parent, batch, *self._wanted))
            except OSError:
                self.close()

    def answer(self) -> list[FoundFiles]:
        if self._process is not None:
            try:
                found: list[FoundFiles] = self._process.answer()
            except EOFError:
                self.close()
            else:
                return found
        return [read_folder(f"{self._parent}/{name}", *self._wanted) for name in self._batch]

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()
