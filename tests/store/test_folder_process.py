from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daydreaming_dagster.store import new_folders
from daydreaming_dagster.store.folder_process import FolderProcess
from daydreaming_dagster.store.new_folders import WAS_THERE, WRITTEN, NewFolder


@pytest.fixture
def process() -> Iterator[FolderProcess]:
    opened = FolderProcess()
    yield opened
    opened.close()


def folder(root: Path, name: str, content: bytes = b"text") -> NewFolder:
    return str(root / "stage"), name, [("a.txt", content), ("b.txt", b"\x00" * 100_000)]


def read_names(root: Path) -> list[str]:
    return sorted(entry.name for entry in (root / "stage").iterdir())


def test_batches_are_written_and_what_is_there_is_left_alone(process: FolderProcess, tmp_path: Path) -> None:
    assert process.write([folder(tmp_path, f"d_{n}") for n in range(50)]) == [WRITTEN] * 50
    assert process.write([folder(tmp_path, "d_0", b"other"), folder(tmp_path, "e_0")]) == [WAS_THERE, WRITTEN]
    assert len(read_names(tmp_path)) == 51
    assert (tmp_path / "stage" / "d_0" / "a.txt").read_bytes() == b"text"
    assert (tmp_path / "stage" / "e_0" / "b.txt").stat().st_size == 100_000


def test_a_folder_that_cannot_be_written_is_told_by_its_error_and_leaves_nothing(
    process: FolderProcess, tmp_path: Path
) -> None:
    bad = (str(tmp_path / "stage"), "d_1", [("no/such/place", b"")])
    assert process.write([folder(tmp_path, "d_0"), bad, folder(tmp_path, "d_2")]) == [WRITTEN, errno.ENOENT, WRITTEN]
    assert read_names(tmp_path) == ["d_0", "d_2"]


def test_the_work_of_a_process_that_died_is_done_here(process: FolderProcess, tmp_path: Path) -> None:
    assert process.write([folder(tmp_path, "d_0")]) == [WRITTEN]
    assert process._process is not None
    running = process._process.popen
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert process.write([folder(tmp_path, "d_1")]) == [WRITTEN]
    assert process.write([folder(tmp_path, "d_2")]) == [WRITTEN]
    assert read_names(tmp_path) == ["d_0", "d_1", "d_2"]


def test_a_process_that_cannot_be_started_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    process = FolderProcess()
    assert process.write([folder(tmp_path, "d_0")]) == [WRITTEN]
    process.close()


def test_it_ends_with_its_owner(process: FolderProcess) -> None:
    assert process._process is not None
    running = process._process.popen
    process.close()
    assert running.returncode == 0


@pytest.mark.parametrize("sent", [b"\x00\x00", (100).to_bytes(8) + b"half a batch"])
def test_an_owner_that_died_in_the_middle_of_a_batch_is_no_error(sent: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", new_folders.__file__], input=sent, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
