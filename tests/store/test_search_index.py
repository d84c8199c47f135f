"""The index that the explorer asks: it follows the files, whatever happens to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.explorer.readable_store import ReadableStore

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cache_files import remove_database
from daydreaming_dagster.store.search_documents import find_title
from daydreaming_dagster.store.search_index import SearchIndex, build_match, open_reader


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReadableStore]:
    store = ReadableStore(tmp_path / "data")
    store.fill()
    yield store
    store.close()


@pytest.fixture
def empty_index(store: ReadableStore) -> ReadableStore:
    store.site.close()
    store.paths.search_index.unlink()
    return store


def find(store: ReadableStore, word: str) -> set[str]:
    question = "SELECT g.gen_id FROM text JOIN generation g ON g.docid = text.rowid WHERE text MATCH ?"
    return {row[0] for row in store.site.rows(question, (build_match(word),))}


def test_a_second_refresh_reads_nothing(store: ReadableStore) -> None:
    index = SearchIndex(store.root.store)
    found = index.refresh()
    index.close()
    assert (found.read, found.gone, found.scanned) == (0, 0, len(store.members))


def test_a_folder_touched_a_moment_ago_is_read_once_more(store: ReadableStore) -> None:
    member = store.of(Stage.ESSAY)[0]
    os.utime(store.paths.generation(member.stage, member.gen_id))
    index = SearchIndex(store.root.store)
    assert index.refresh().read == 1
    index.close()


def test_new_words_are_found_and_old_ones_no_more(store: ReadableStore) -> None:
    member = store.of(Stage.ESSAY)[0]
    assert member.gen_id in find(store, "hedgehog")
    store.root.store.write_response(member.stage, member.gen_id, "An aardvark.", {"call_id": "new"})
    store.age(member)
    store.refresh()
    assert member.gen_id not in find(store, "hedgehog")
    assert find(store, "aardvark") == {member.gen_id}


def test_what_was_removed_is_gone_with_its_scores(store: ReadableStore) -> None:
    essay = store.of(Stage.ESSAY)[0].gen_id
    for member in store.of(Stage.EVALUATION):
        if member.parent_gen_id == essay:
            folder = store.paths.generation(member.stage, member.gen_id)
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    store.refresh()
    assert store.site.rows("SELECT * FROM essay_score WHERE essay_gen_id = ?", (essay,)) == []
    missing = store.site.row("SELECT n FROM progress WHERE stage = 'evaluation' AND status = 'missing'")
    assert missing is not None and missing[0] == 4


def test_a_text_is_found_where_it_was_written_and_not_in_the_prompts_made_from_it(store: ReadableStore) -> None:
    draft = store.of(Stage.DRAFT)[0]
    essay = next(member for member in store.of(Stage.ESSAY) if member.parent_gen_id == draft.gen_id)
    parsed = store.root.store.find_parsed(Stage.DRAFT, draft.gen_id)
    store.root.store.write_prompt(Stage.ESSAY, essay.gen_id, f"Tell unmistakably: {parsed}")
    store.age(essay)
    store.refresh()
    place = store.members.index(draft)
    assert find(store, f"word{place}") == {draft.gen_id}
    assert find(store, "unmistakably") == {essay.gen_id}


def test_a_score_off_the_scale_does_not_count(store: ReadableStore) -> None:
    member = store.of(Stage.EVALUATION)[0]
    (store.paths.generation(member.stage, member.gen_id) / "parsed.txt").write_text("55.0\n")
    store.age(member)
    store.refresh()
    row = store.site.row("SELECT score, code FROM generation WHERE gen_id = ?", (member.gen_id,))
    assert row is not None and tuple(row) == (None, "score_off_scale")


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_damaged_index_is_made_anew(store: ReadableStore, content: bytes) -> None:
    store.site.close()
    remove_database(store.paths.search_index)
    store.paths.search_index.write_bytes(content)
    store.refresh()
    assert len(store.site.rows("SELECT * FROM generation")) == len(store.members)


def test_a_reader_cannot_write(store: ReadableStore) -> None:
    import sqlite3

    database = open_reader(store.paths.search_index)
    with pytest.raises(sqlite3.OperationalError):
        database.execute("DELETE FROM generation")
    database.close()


def test_a_refresh_can_be_ended_early_and_goes_on_the_next_time(empty_index: ReadableStore) -> None:
    index = SearchIndex(empty_index.root.store)
    first = index.refresh(lambda _: False)
    assert 0 < first.read < len(empty_index.members)
    assert index.refresh().read == len(empty_index.members) - first.read
    index.close()


def test_a_cohort_that_is_edited_is_read_again(store: ReadableStore) -> None:
    path = store.paths.membership(store.cohort_id)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    os.utime(path, (2_000_000_000, 2_000_000_000))
    store.refresh()
    assert len(store.site.rows("SELECT * FROM member")) == len(store.members) - 1
    path.write_text("nonsense")
    os.utime(path, (2_000_000_001, 2_000_000_001))
    store.refresh()
    problem = store.site.row("SELECT problem FROM cohort")
    assert problem is not None and "damaged" in problem[0]


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("two words", '"two" AND "words"'),
        ('"a phrase" and', '"a phrase" AND "and"'),
        ("begin*", '"begin" *'),
        ("x-y:z", '"x y z"'),
        ('"', None),
        ("", None),
    ],
)
def test_questions_of_people_become_questions_of_the_index(query: str, match: str | None) -> None:
    assert build_match(query) == match


def test_the_title_is_the_first_line_without_its_marks() -> None:
    assert find_title("\n\n## **Sleep**  as search\ntext") == "Sleep as search"
    assert find_title("") == ""
    assert find_title("> <script>\u202egnp.exe = ") == "<script>gnp.exe"
    assert len(find_title("word " * 100)) <= 120
