"""Ratings by people: whole lines, however many write at once and whatever dies in between."""

from __future__ import annotations

import multiprocessing
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.store.human_ratings import (
    Kind,
    append_ratings,
    build_rating,
    dump_csv,
    import_csv,
    read_ratings,
)
from daydreaming_dagster.store.paths import DataPaths

PROCESSES, LINES = 4, 150


def write_lines(folder: str, rater: str) -> None:
    paths = DataPaths(Path(folder))
    for number in range(LINES):
        append_ratings(paths, [build_rating(rater, f"e_{number}", "novelty", 5.0, comment="x" * (number * 13 % 997))])


def test_raters_who_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_lines, args=(str(tmp_path), f"rater {n}")) for n in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
        assert worker.exitcode == 0
    found = read_ratings(DataPaths(tmp_path))
    assert found.damaged == []
    assert len(found.current()) == len(found.lines) == PROCESSES * LINES


def import_table(folder: str, table: str, barrier: Barrier, added: Queue[int]) -> None:
    barrier.wait()
    added.put(import_csv(DataPaths(Path(folder)), table)[0])


def test_a_table_that_several_take_in_at_once_is_added_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    rows = "".join(f"Ada,e_{number},novelty,5\n" for number in range(2000))
    table = f"rater,essay_gen_id,evaluation_template,score\n{rows}"
    barrier, added = context.Barrier(PROCESSES), context.Queue()
    workers = [context.Process(target=import_table, args=(str(tmp_path), table, barrier, added)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert sorted(added.get(timeout=120) for _ in workers) == [0, 0, 0, 2000]
    for worker in workers:
        worker.join(timeout=120)
        assert worker.exitcode == 0
    assert len(read_ratings(DataPaths(tmp_path)).lines) == 2000


def test_a_table_without_rows_leaves_nothing_behind(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    assert import_csv(paths, "rater,essay_gen_id,evaluation_template,score\n") == (0, 0)
    assert not paths.human_ratings.exists()


def test_a_line_cut_off_by_a_crash_spoils_only_itself(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    append_ratings(paths, [build_rating("Ada", "e_1", "novelty", 1.0)])
    with paths.human_ratings.open("ab") as file:
        file.write(b'{"rater": "Bo", "sco')
    append_ratings(paths, [build_rating("Ada", "e_2", "novelty", 2.0)])
    found = read_ratings(paths)
    assert [line.essay_gen_id for line in found.lines] == ["e_1", "e_2"]
    assert found.damaged == [2]


def test_the_last_word_counts_and_a_withdrawn_one_does_not(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    lines = [
        build_rating("Ada", "e_1", "novelty", 1.0),
        build_rating("Ada", "e_1", "novelty", 7.0),
        build_rating("Ada", "e_2", "novelty", 3.0),
        build_rating("Ada", "e_2", "novelty", None, kind=Kind.WITHDRAWN),
    ]
    append_ratings(paths, lines)
    assert {key[1]: line.score for key, line in read_ratings(paths).current().items()} == {"e_1": 7.0}


@pytest.mark.parametrize(
    ("rater", "essay", "score"),
    [("", "e_1", 5.0), ("a\x00b", "e_1", 5.0), ("Ada", "../x", 5.0), ("Ada", "d_1", 5.0), ("Ada", "e_1", float("nan"))],
)
def test_what_cannot_be_a_rating_is_refused(rater: str, essay: str, score: float) -> None:
    with pytest.raises(ConfigurationError):
        build_rating(rater, essay, "novelty", score)


def test_a_csv_says_what_the_lines_say(tmp_path: Path) -> None:
    here, there = DataPaths(tmp_path / "here"), DataPaths(tmp_path / "there")
    lines = [
        build_rating("Zoë O'Neil", "e_1", "novelty", 1.5, comment='=1+1, "x"\ny', seconds=3.5),
        build_rating("Bo", "e_2", "novelty", None, kind=Kind.SKIPPED),
    ]
    append_ratings(here, lines)
    assert import_csv(there, "\ufeff" + dump_csv(lines)) == (2, 0)
    assert read_ratings(there).lines == read_ratings(here).lines == lines
    assert import_csv(there, dump_csv(lines)) == (0, 2)


def test_a_plain_table_is_enough_and_is_taken_once(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    table = "score, rater ,essay_gen_id,evaluation_template\n5,Ada,e_1,novelty\n5,Ada,e_1,novelty\n6,Ada,e_2,novelty\n"
    assert import_csv(paths, table) == (2, 1)
    assert import_csv(paths, table) == (0, 3)
