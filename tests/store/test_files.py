from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store import files, new_folders


def refuse(number: int) -> None:
    raise OSError(number, os.strerror(number))


def test_a_file_appears_whole_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    files.write_text(path, "text", durable=True)
    assert path.read_text() == "text"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_a_refused_write_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    monkeypatch.setattr(files, "write_all", lambda *_: refuse(errno.ENOSPC))
    with pytest.raises(StoreError, match="no space left") as caught:
        files.write_text(path, "new")
    assert "df -h" in caught.value.fix
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = tmp_path / "stage"
    one, two = (str(stage), "d_1", [("a", b"1"), ("b", b"2")]), (str(stage), "d_2", [("a", b"1")])
    assert files.write_new_folders([one]) == [True]
    assert files.write_new_folders([(str(stage), "d_1", [("a", b"other")])]) == [False]
    assert (stage / "d_1" / "a").read_bytes() == b"1"
    monkeypatch.setattr(new_folders, "write_all", lambda *_: refuse(errno.EIO))
    with pytest.raises(StoreError):
        files.write_new_folders([two])
    assert [entry.name for entry in stage.iterdir()] == ["d_1"]


def test_leftovers_of_processes_that_are_gone_are_removed_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    (tmp_path / ".d_1.999999999.0.tmp").mkdir()
    (tmp_path / f".d_2.{os.getpid()}.0.tmp").mkdir()
    (tmp_path / ".parsed.txt.999999999.3.tmp").touch()
    files.remove_temporaries(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [f".d_2.{os.getpid()}.0.tmp"]


def test_lone_surrogates_become_question_marks(tmp_path: Path) -> None:
    files.write_text(tmp_path / "file.txt", "a\ud800b")
    assert (tmp_path / "file.txt").read_text() == "a?b"


def test_a_missing_file_is_none_and_a_broken_one_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    assert files.find_json(path) is None
    path.write_bytes(b"\xff")
    with pytest.raises(StoreError, match="is not UTF-8"):
        files.find_json(path)
    path.write_text("[1]")
    with pytest.raises(StoreError, match="holds no JSON object"):
        files.find_json(path)
