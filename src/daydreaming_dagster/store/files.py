"""Whole-or-nothing file writes, and the sentence a user reads when the disk refuses one.

A file appears under its name complete or not at all: the text goes into a temporary file of the same folder, which is
then renamed. `durable=True` also waits for the disk; the engine's bulk path gets durability from its journal instead.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store import generation_files, new_folders
from daydreaming_dagster.store.new_folders import TEMPORARY_SUFFIX, WRITTEN, NewFolder

write_all = new_folders.write_all
read_quickly = generation_files.read_quickly

_counter = itertools.count()


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Writes a whole file; the folder is made when it is missing.

    Raises:
        StoreError: the disk is full, the folder cannot be written, or the like.
    """
    temporary = f"{path.parent}/.{path.name}.{os.getpid()}.{next(_counter)}{TEMPORARY_SUFFIX}"
    with explain_os_errors(path):
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            try:
                write_all(handle, content)
                if durable:
                    os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(temporary, path)  # noqa: PTH105 - str is twice as fast as Path here, and this is a hot path
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(path.parent)


def write_new_folders(
    folders: Sequence[NewFolder], write: Callable[[Sequence[NewFolder]], Sequence[int]] = new_folders.write_new_folders
) -> list[bool]:
    """Writes folders with all their files, or nothing of them; False for those whose name is there already.

    Args:
        folders: what to write.
        write: who does it.

    Raises:
        StoreError: the disk is full, the parent cannot be written, or the like; of others of them, all is there.
    """
    results = write(folders)
    for (parent, name, _), result in zip(folders, results, strict=True):
        if result > 0:
            raise _explain_os_error(f"{parent}/{name}", OSError(result, os.strerror(result)))
    return [result == WRITTEN for result in results]


def remove_temporaries(folder: Path) -> None:
    """Removes what killed processes left half-written directly below a folder."""
    for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        owner = path.name.split(".")[-3]
        if owner.isdecimal() and not _is_running(int(owner)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def encode(text: str) -> bytes:
    """UTF-8; lone surrogates, which no encoding holds, become question marks."""
    return text.encode("utf-8", errors="replace")


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Writes a whole UTF-8 file (see `encode`)."""
    write_bytes(path, encode(text), durable=durable)


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Writes a value as indented JSON."""
    write_bytes(path, dump_json(value), durable=durable)


def dump_json(value: Any) -> bytes:
    """Indented JSON with a final newline, as it stands in every metadata file."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str)


def read_text(path: Path) -> str:
    """Text of a UTF-8 file.

    Raises:
        StoreError: missing, unreadable, or not UTF-8.
    """
    with explain_os_errors(path):
        content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StoreError(
            f"{path} is not UTF-8 text (byte {error.start}).", fix="Restore the file, or delete it and make it anew."
        ) from error


def find_text(path: Path) -> str | None:
    """Text of a UTF-8 file; None when there is no such file."""
    try:
        return read_text(path)
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise


def find_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is no such file.

    Raises:
        StoreError: the file is there but holds no JSON object.
    """
    text = find_text(path)
    if text is None:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise StoreError(
            f"{path} is not valid JSON ({error}).", fix="Restore the file, or delete it and make it anew."
        ) from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} holds no JSON object.", fix="Restore the file, or delete it and make it anew.")
    return value


def find_undamaged_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None also when it holds something else, for what has to go on nevertheless.

    Raises:
        StoreError: the disk or its permissions do not let it be read.
    """
    try:
        return find_json(path)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return None


def sync_folder(folder: Path) -> None:
    """Makes renames and new names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explain_os_errors(path: Path | str) -> Iterator[None]:
    """Turns an `OSError` into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise _explain_os_error(path, error) from error


def _explain_os_error(path: Path | str, error: OSError) -> StoreError:
    return StoreError(f"{path}: {(error.strerror or str(error)).lower()}.", fix=_FIXES.get(error.errno or 0, _FIX_ANY))


_FIX_ANY = "Check the path and the disk with `daydreaming doctor`, then run the command again; nothing was lost."
_FIXES = {
    errno.ENOSPC: "Free some disk space (df -h), then run the command again; what is stored so far is kept.",
    errno.EDQUOT: "Your disk quota is used up; free some space, then run the command again; what is stored is kept.",
    errno.EACCES: "Give yourself permission to the folder (ls -ld; chown or chmod), then run the command again.",
    errno.EPERM: "Give yourself permission to the folder (ls -ld; chown or chmod), then run the command again.",
    errno.EROFS: "The disk is mounted read-only; set DAYDREAMING_DATA_ROOT to a folder that can be written.",
    errno.ENOENT: "Make it with the command that writes it, or check DAYDREAMING_DATA_ROOT and the working directory.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n 4096), then run the command again.",
}
