"""Makes new folders with all their files, each as a whole or not at all; also as a process of its own.

Each file takes three calls of the system, and around each a thread lets go of the interpreter and has to get it back
from a busy event loop: that takes longer than the calls themselves. So a bulk run hands folders to a process that does
nothing else (`folder_process.py` starts it). It runs this file by itself: only what starts at once is imported here.
"""

from __future__ import annotations

import errno
import itertools
import marshal
import os
import sys
from collections.abc import Sequence

NewFolder = tuple[str, str, Sequence[tuple[str, bytes]]]
"""Where it goes, its name, and names and contents of its files."""

WRITTEN, WAS_THERE = 0, -1
LENGTH_BYTES = 8
TEMPORARY_SUFFIX = ".tmp"
_counter = itertools.count()


def write_new_folder(parent: str, name: str, contents: Sequence[tuple[str, bytes]]) -> bool:
    """Writes a folder with all its files, or nothing of it; False when there is one of that name already.

    Args:
        parent: where; made when it is missing. A text, because this is a hot path and Path takes its time.
        name: of the folder.
        contents: names and contents of its files.

    Raises:
        OSError: the disk is full, the parent cannot be written, or the like.
    """
    folder, temporary = f"{parent}/{name}", f"{parent}/.{name}.{os.getpid()}.{next(_counter)}{TEMPORARY_SUFFIX}"
    if os.path.exists(folder):  # noqa: PTH110
        return False
    try:
        os.mkdir(temporary)  # noqa: PTH102
    except FileNotFoundError:
        os.makedirs(parent, exist_ok=True)  # noqa: PTH103
        os.mkdir(temporary)  # noqa: PTH102
    try:
        for file_name, content in contents:
            handle = os.open(f"{temporary}/{file_name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                write_all(handle, content)
            finally:
                os.close(handle)
        os.rename(temporary, folder)  # noqa: PTH104
    except OSError as error:
        import shutil

        shutil.rmtree(temporary, ignore_errors=True)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def write_all(handle: int, content: bytes) -> None:
    """Writes all bytes to a file descriptor; one `write` may take only part of them."""
    written = os.write(handle, content)
    while written < len(content):
        content = content[written:]
        written = os.write(handle, content)


def write_new_folders(folders: Sequence[NewFolder]) -> list[int]:
    """Writes folders; for each `WRITTEN`, `WAS_THERE`, or the number of the error for which nothing of it is there."""
    results: list[int] = []
    for folder in folders:
        try:
            results.append(WRITTEN if write_new_folder(*folder) else WAS_THERE)
        except OSError as error:
            results.append(error.errno or errno.EIO)
    return results


def main() -> None:
    """Writes what comes over standard input, batch by batch, until its other end is closed or has died."""
    while length := int.from_bytes(sys.stdin.buffer.read(LENGTH_BYTES)):
        batch = sys.stdin.buffer.read(length)
        if len(batch) < length:
            return
        # Both ends are the same interpreter, so that the quickest format is safe.
        answer = marshal.dumps(write_new_folders(marshal.loads(batch)))
        try:
            write_all(sys.stdout.fileno(), len(answer).to_bytes(LENGTH_BYTES) + answer)
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
