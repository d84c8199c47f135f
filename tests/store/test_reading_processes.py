from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from daydreaming_dagster.store import generation_files, reading_processes
from daydreaming_dagster.store.generation_files import FoundFiles, read_folder
from daydreaming_dagster.store.reading_processes import read_folders

NAMES, LOOKED_FOR = ("b.txt", "a.txt"), ("c.txt",)


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Enough for several processes, and of different content; the last one is empty."""
    names = [f"v_{number}" for number in range(3 * reading_processes._BATCH + 7)]
    for number, name in enumerate(names):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_bytes(b"\xff" * number)
        (tmp_path / name / "b.txt").write_text(name)
        if number % 2:
            (tmp_path / name / "c.txt").touch()
    (tmp_path / "v_empty").mkdir()
    return [*names, "v_empty", "v_gone"]


def read_here(root: Path, folders: Sequence[str]) -> list[FoundFiles]:
    return [read_folder(f"{root}/{name}", NAMES, LOOKED_FOR) for name in folders]


def test_a_folder_is_told_by_the_contents_of_its_files_what_else_is_there_and_a_time(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 200_000)
    (tmp_path / "b.txt").write_text("b")
    os.utime(tmp_path / "a.txt", ns=(1, 123_456_000))
    os.utime(tmp_path, ns=(1, 7_000))
    assert read_folder(str(tmp_path), NAMES, LOOKED_FOR) == (7_000, [b"b", b"x" * 200_000], [False], 123_456_000)
    assert read_folder(f"{tmp_path}/none", NAMES, LOOKED_FOR) == (None, [None, None], [False], None)


@pytest.mark.parametrize("each", [1000, 50])
def test_processes_find_what_is_found_here_in_the_same_order(
    tmp_path: Path, folders: list[str], monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    monkeypatch.setattr(reading_processes, "_FOLDERS_EACH", each)
    assert list(read_folders(str(tmp_path), folders, NAMES, LOOKED_FOR)) == read_here(tmp_path, folders)
    assert list(read_folders(str(tmp_path), [], NAMES, LOOKED_FOR)) == []


def test_the_work_of_processes_that_died_is_done_here(
    tmp_path: Path, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def remember(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(start(*arguments, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", remember)
    monkeypatch.setattr(reading_processes, "_FOLDERS_EACH", 200)
    found = read_folders(str(tmp_path), folders, NAMES, LOOKED_FOR)
    first = next(found)
    for process in started:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert [first, *found] == read_here(tmp_path, folders)


def test_the_trouble_of_a_process_is_not_told_on_the_screen(
    tmp_path: Path, folders: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "fails.py"
    program.write_text("raise SystemExit('something went wrong')")
    monkeypatch.setattr(generation_files, "__file__", str(program))
    assert list(read_folders(str(tmp_path), folders, NAMES, LOOKED_FOR)) == read_here(tmp_path, folders)
    assert capfd.readouterr().err == ""


def test_processes_that_cannot_be_started_are_not_needed(
    tmp_path: Path, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/no-such-program")
    assert list(read_folders(str(tmp_path), folders, NAMES, LOOKED_FOR)) == read_here(tmp_path, folders)


def test_no_process_is_left_when_nobody_wants_the_rest(
    tmp_path: Path, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int | None] = []
    close = reading_processes._Reader.close

    def watch(reader: reading_processes._Reader) -> None:
        process = reader._process
        close(reader)
        ended.append(None if process is None else process.popen.poll())

    monkeypatch.setattr(reading_processes._Reader, "close", watch)
    monkeypatch.setattr(reading_processes, "_FOLDERS_EACH", 100)
    found = read_folders(str(tmp_path), folders, NAMES, LOOKED_FOR)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert ended == [-signal.SIGKILL] * 4


def test_a_reader_ends_with_the_process_that_started_it() -> None:
    reader = subprocess.Popen(
        [sys.executable, "-I", "-S", generation_files.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    reader.communicate()  # closes its standard input, as the end of this process would
    assert reader.returncode == 0
