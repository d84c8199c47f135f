"""The other end of `generation_files.py`: starts it as several processes and hands out folders to read."""

from __future__ import annotations

import marshal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing

from daydreaming_dagster.store import generation_files
from daydreaming_dagster.store.generation_files import LENGTH_BYTES, FoundFiles, read_folder

_MOST_PROCESSES, _FOLDERS_EACH = 32, 1000
_BATCH = 100


def read_folders(
    parent: str, folders: Sequence[str], names: Sequence[str], looked_for: Sequence[str], dated: str
) -> Iterator[FoundFiles]:
    """What `read_folder` finds in each of many folders below a parent, in their order.

    Processes make it faster and nothing else: the work of one that cannot be started, or has died, is done here. They
    end with this process, even if that is killed.
    """
    batches = [list(folders[start : start + _BATCH]) for start in range(0, len(folders), _BATCH)]
    # Far more than there are cores: nearly all of them wait for the disk at any time.
    wanted = min(_MOST_PROCESSES, -(-len(folders) // _FOLDERS_EACH))
    readers = [_Reader(parent, list(names), list(looked_for), dated) for _ in range(wanted)]
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

    def __init__(self, parent: str, names: list[str], looked_for: list[str], dated: str) -> None:
        self._parent, self._wanted = parent, (names, looked_for, dated)
        self._batch: list[str] = []
        self._process: subprocess.Popen[bytes] | None
        try:
            # -I and -S: nothing of the environment and no packages, so that it starts in some hundredths of a second.
            # In a session of its own, because Ctrl-C is for this process to hear of.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", generation_files.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what one of them could not do is done here, and its trouble told from here
                start_new_session=True,
            )
        except OSError:
            self._process = None

    def ask(self, batch: list[str]) -> None:
        self._batch = batch
        if self._process is None or self._process.stdin is None:
            return
        content = marshal.dumps((self._parent, batch, *self._wanted))
        try:
            self._process.stdin.write(len(content).to_bytes(LENGTH_BYTES))
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except OSError:
            self.close()

    def answer(self) -> list[FoundFiles]:
        if self._process is not None and self._process.stdout is not None:
            length = int.from_bytes(self._process.stdout.read(LENGTH_BYTES))
            content = self._process.stdout.read(length)
            if length and len(content) == length:
                found: list[FoundFiles] = marshal.loads(content)
                return found
            self.close()
        return [read_folder(f"{self._parent}/{name}", *self._wanted) for name in self._batch]

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None or process.stdin is None or process.stdout is None:
            return
        # It may be in the middle of an answer that nobody wants any more, and it changes nothing.
        process.kill()
        process.wait()
        with closing(process.stdout):
            try:
                process.stdin.close()
            except OSError:
                return  # what it had not read is of no use
