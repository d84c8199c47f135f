from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from daydreaming_dagster.store.cache_files import (
    can_write,
    copy_to_folder,
    open_cache,
    open_copy_in_memory,
    open_for_reading,
    remove_database,
)


def make_database(path: Path) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE kept (value)")
    database.close()


def prepare(database: sqlite3.Connection) -> bool:
    """Turns down what has other tables than its own."""
    if names := [row[0] for row in database.execute("SELECT name FROM sqlite_master")]:
        return names == ["mine"]
    database.execute("CREATE TABLE mine (value)")
    return True


def list_tables(database: sqlite3.Connection) -> list[str]:
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
    database.close()
    return names


def read_values(database: sqlite3.Connection) -> list[int]:
    values = [row[0] for row in database.execute("SELECT value FROM mine")]
    database.close()
    return values


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


@pytest.mark.parametrize("content", [b"", b"damaged" * 1000])
def test_a_cache_that_cannot_be_used_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(content)
    assert list_tables(open_cache(path, prepare)) == ["mine"]


def test_a_cache_of_another_version_is_made_anew_and_one_of_this_version_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    make_database(path)
    database = open_cache(path, prepare)
    with database:
        database.execute("INSERT INTO mine VALUES (1)")
    database.close()
    assert read_values(open_copy_in_memory(path)) == [1]
    assert list_tables(open_cache(path, prepare)) == ["mine"]
    assert read_values(open_copy_in_memory(path)) == [1]


def test_a_database_goes_with_all_that_sqlite_keeps_beside_it(tmp_path: Path) -> None:
    path, database = tmp_path / "index.sqlite", open_cache(tmp_path / "index.sqlite", prepare)
    assert len(list(tmp_path.iterdir())) == 3
    remove_database(path)
    assert list(tmp_path.iterdir()) == []
    database.close()


def test_reading_sees_what_somebody_is_writing_and_cannot_write(tmp_path: Path) -> None:
    writer = open_cache(tmp_path / "index.sqlite", prepare)
    assert read_values(open_copy_in_memory(tmp_path / "index.sqlite")) == []
    reader = open_for_reading(tmp_path / "index.sqlite")
    with writer:
        writer.execute("INSERT INTO mine VALUES (1)")
    assert reader.execute("SELECT value FROM mine").fetchall() == [(1,)]
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM mine")
    reader.close()
    writer.close()


def test_reading_leaves_no_trace_unless_the_file_is_to_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    open_cache(path, prepare).close()
    assert list_tables(open_for_reading(path)) == ["mine"]
    assert [each.name for each in tmp_path.iterdir()] == ["index.sqlite"]
    reader = open_for_reading(path, follow=True)
    writer = open_cache(path, prepare)
    with writer:
        writer.execute("INSERT INTO mine VALUES (1)")
    writer.close()
    assert reader.execute("SELECT value FROM mine").fetchall() == [(1,)]
    reader.close()


def copy_with_its_log(path: Path, folder: Path) -> Path:
    """What a killed process leaves: a value that is in the log alone."""
    writer = open_cache(path, prepare)
    with writer:
        writer.execute("INSERT INTO mine VALUES (1)")
    folder.mkdir()
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{path}{suffix}", folder / f"{path.name}{suffix}")
    writer.close()
    return folder / path.name


def test_the_log_is_read_where_nothing_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy_with_its_log(tmp_path / "ledger.sqlite", tmp_path / "elsewhere")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert read_values(open_for_reading(path)) == [1]


@pytest.mark.parametrize("follow", [False, True])
def test_where_sqlite_cannot_make_its_own_files_a_copy_with_the_log_is_read(tmp_path: Path, follow: bool) -> None:
    path = copy_with_its_log(tmp_path / "ledger.sqlite", tmp_path / "elsewhere")
    (path.parent / "ledger.sqlite-shm").mkdir()  # as good as a folder that cannot be written to, and to everybody
    before = {each.name: each.stat().st_mtime_ns for each in path.parent.iterdir()}
    reader = open_for_reading(path, follow=follow)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM mine")
    assert read_values(reader) == [1]
    assert {each.name: each.stat().st_mtime_ns for each in path.parent.iterdir()} == before


def test_what_has_no_log_is_read_where_sqlite_cannot_make_one(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    open_cache(path, prepare).close()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"index.sqlite{suffix}").symlink_to(f"index.sqlite{suffix}")  # nothing can be made at its end
    assert list_tables(open_for_reading(path, follow=True)) == ["mine"]
