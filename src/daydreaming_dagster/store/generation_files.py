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

FoundFiles = tuple[list[bytes | None], list[bool], int | None]
"""Contents of the files that were asked for, None for one that cannot be read; which of the looked for names are there;
and the modification time of the file that is dated, ns."""

LENGTH_BYTES = 8
_READ_BYTES = 1 << 16


def read_quickly(path: str) -> bytes:
    """All of a file, for loops over a whole store: an open file object or a Path costs several times as much.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        content = os.read(handle, _READ_BYTES)
        while len(content) % _READ_BYTES == 0 and (more := os.read(handle, _READ_BYTES)):
            content += more
        return content
    finally:
        os.close(handle)


def read_folder(folder: str, names: Sequence[str], looked_for: Sequence[str], dated: str) -> FoundFiles:
    """Reads files of a folder, looks which other names are there, and when one file, `dated`, was last written."""
    # The time first: should the file be written to meanwhile, it will be found to have another one.
    mtime_ns = find_mtime_ns(f"{folder}/{dated}")
    contents = [_find(f"{folder}/{name}") for name in names]
    return contents, [os.path.exists(f"{folder}/{name}") for name in looked_for], mtime_ns  # noqa: PTH110


def find_mtime_ns(path: str) -> int | None:
    """When a file was last written; None when there is none, or nobody lets us look."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - once per generation of a whole store
    except OSError:
        return None


def _find(path: str) -> bytes | None:
    try:
        return read_quickly(path)
    except OSError:
        return None


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
