from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from daydreaming_dagster.store.cache_files import can_write, copy_to_folder, open_copy_in_memory


def make_database(path: Path) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE kept (value)")
    database.close()


def list_tables(database: sqlite3.Connection) -> list[str]:
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
    database.close()
    return names


def test_a_file_can_be_made_where_the_nearest_folder_lets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_write(tmp_path / "not" / "there" / "yet.sqlite")
    asked: list[object] = []
    monkeypatch.setattr(os, "access", lambda path, _: asked.append(path))
    assert not can_write(tmp_path / "not" / "there" / "yet.sqlite")
    assert asked == [tmp_path]


def test_a_file_of_somebody_else_cannot_be_written_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database(tmp_path / "theirs.sqlite")
    monkeypatch.setattr(os, "access", lambda path, _: path == tmp_path)
    assert not can_write(tmp_path / "theirs.sqlite")
    assert can_write(tmp_path / "mine.sqlite")


def test_a_copy_in_memory_holds_what_the_file_does_and_nothing_of_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    assert list_tables(open_copy_in_memory(path)) == []
    make_database(path)
    assert list_tables(open_copy_in_memory(path)) == ["kept"]
    path.write_bytes(b"damaged" * 1000)
    assert list_tables(open_copy_in_memory(path)) == []


def test_a_file_that_somebody_writes_to_is_not_copied(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "index.sqlite", tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_database(path)
    (tmp_path / "index.sqlite-wal").touch()
    assert not copy_to_folder(path, elsewhere).exists()
    (tmp_path / "index.sqlite-wal").unlink()
    assert list_tables(sqlite3.connect(copy_to_folder(path, elsewhere))) == ["kept"]
