"""Reads what the index wants to know of generations' folders; also as a process of its own.

A store that the system has not seen for long is read at the pace at which its disk gives small files, and the system's
own work of it takes as long as the rest: threads of one interpreter spend more time handing it to each other than they
gain. So many folders are read by several processes (`reading_processes.py` starts them), which run this file by itself:
only what starts at once is imported here.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Sequence

FoundFiles = tuple[int | None, list[bytes | None], list[bool], int | None]
"""When the folder was last changed, asked before anything in it was read, ns; contents of the files that were asked
for, None for one that cannot be read; which of the looked for names are there; and when the last of the files was
written, ns."""

LENGTH_BYTES = 8
_READ_BYTES = 1 << 16


def read_quickly(path: str) -> bytes:
    """All of a file, for loops over a whole store: an open file object or a Path costs several times as much.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    return _read_and_close(os.open(path, os.O_RDONLY))


def read_folder(folder: str, names: Sequence[str], looked_for: Sequence[str]) -> FoundFiles:
    """Reads files of a folder, looks which other names are there, and when the last of the files was last written."""
    folder_mtime_ns = find_mtime_ns(folder)
    handles = [_find_handle(f"{folder}/{name}") for name in names]
    are_there = [os.access(f"{folder}/{name}", os.F_OK) for name in looked_for]
    last = handles[-1]
    # The time first: should the file be written to meanwhile, it will be found to have another one.
    mtime_ns = None if last is None else os.fstat(last).st_mtime_ns
    return folder_mtime_ns, [_find_content(handle) for handle in handles], are_there, mtime_ns


def find_mtime_ns(path: str) -> int | None:
    """When a file was last written; None when there is none, or nobody lets us look."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - once per generation of a whole store
    except OSError:
        return None


def _find_handle(path: str) -> int | None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:  # noqa: SIM105 - three times per generation of a whole store
        # The disk fetches the files of a folder at once, and not each when the one before it has come.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_WILLNEED)
    except (AttributeError, OSError):
        pass  # not every system, and not every disk, takes advice
    return handle


def _find_content(handle: int | None) -> bytes | None:
    if handle is None:
        return None
    try:
        return _read_and_close(handle)
    except OSError:
        return None


def _read_and_close(handle: int) -> bytes:
    try:
        content = os.read(handle, _READ_BYTES)
        while len(content) % _READ_BYTES == 0 and (more := os.read(handle, _READ_BYTES)):
            content += more
        return content
    finally:
        os.close(handle)


def main() -> None:
    """Reads what is asked for over standard input, batch by batch, until its other end is closed or has died."""
    while length := int.from_bytes(sys.stdin.buffer.read(LENGTH_BYTES)):
        batch = sys.stdin.buffer.read(length)
        if len(batch) < length:
            return
        # Both ends are the same interpreter, so that the quickest format is safe.
        parent, folders, *wanted = marshal.loads(batch)
        answer = marshal.dumps([read_folder(f"{parent}/{folder}", *wanted) for folder in folders])
        try:
            sys.stdout.buffer.write(len(answer).to_bytes(LENGTH_BYTES))
            sys.stdout.buffer.write(answer)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os._exit(0)  # nobody listens any more, and there is nothing to flush


if __name__ == "__main__":
    main()
