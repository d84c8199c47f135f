from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.fakes.data_root import DataRoot, make_config, write_rows

from daydreaming_dagster.domain.combinations import Combination, build_combination
from daydreaming_dagster.domain.errors import ConfigurationError, InputErrors, MembershipError
from daydreaming_dagster.store.combinations import (
    COMBINATION_COLUMNS,
    SelectedCombinations,
    read_combo_registry,
    read_selected_combinations,
    register_combinations,
    write_selected_combinations,
)
from daydreaming_dagster.store.input_versions import compute_input_versions

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
PAIR = build_combination(["mind-wandering", "flywheel"], "paragraph", 2)


def update(root: DataRoot, k_max: int = 2, clock: datetime = NOON) -> SelectedCombinations:
    return write_selected_combinations(root.paths, root.read_catalogue(), make_config(k_max), clock=lambda: clock)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def edit(root: DataRoot, rows: list[dict[str, str]]) -> None:
    write_rows(root.paths.selected_combos_csv, rows)


def problems_of(root: DataRoot) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        update(root)
    return [str(problem).removeprefix(str(root.paths.selected_combos_csv)) for problem in caught.value.problems]


# The table of the next cohort ---------------------------------------------------------------------------------------
def test_all_pairs_of_active_concepts_are_written_in_the_order_of_the_concepts(root: DataRoot) -> None:
    selected = update(root)
    rows = read_rows(root.paths.selected_combos_csv)
    assert tuple(rows[0]) == COMBINATION_COLUMNS
    assert [row["concept_id"] for row in rows] == [
        *("mind-wandering", "economic-moat"),
        *("mind-wandering", "flywheel"),
        *("economic-moat", "flywheel"),
    ]
    assert rows[2] == {
        "combo_id": PAIR.combo_id,
        "version": "v1",
        "concept_id": "mind-wandering",
        "description_level": "paragraph",
        "k_max": "2",
        "created_at": "2026-01-02T12:00:00+00:00",
    }
    assert (len(selected.combinations), selected.curated, selected.note) == (3, False, "")


def test_writing_it_again_changes_nothing(root: DataRoot) -> None:
    update(root)
    before = root.paths.selected_combos_csv.read_bytes()
    update(root, clock=NOON + timedelta(days=1))
    assert root.paths.selected_combos_csv.read_bytes() == before


def test_a_generated_table_follows_the_active_concepts_and_the_size(root: DataRoot) -> None:
    update(root)
    root.write_concepts(["mind-wandering", "flywheel"], inactive=["economic-moat"])
    assert [c.combo_id for c in update(root).combinations] == [PAIR.combo_id]
    assert len(read_rows(root.paths.selected_combos_csv)) == 2
    assert [c.k_max for c in update(root, k_max=1).combinations] == [1, 1]


def test_a_combination_keeps_the_day_on_which_it_was_first_used(root: DataRoot) -> None:
    register_combinations(root.paths, [PAIR], clock=lambda: NOON - timedelta(days=365))
    update(root)
    days = {row["combo_id"]: row["created_at"][:10] for row in read_rows(root.paths.selected_combos_csv)}
    assert days.pop(PAIR.combo_id) == "2025-01-02"
    assert set(days.values()) == {"2026-01-02"}


def test_a_table_edited_by_hand_is_used_until_it_is_deleted(root: DataRoot) -> None:
    update(root)
    edit(root, read_rows(root.paths.selected_combos_csv)[:2])
    edited = root.paths.selected_combos_csv.read_bytes()
    root.write_concepts(["economic-moat", "flywheel"], inactive=["mind-wandering"])
    assert update(root, k_max=9).curated
    selected = update(root, k_max=1)
    assert [combination.concept_ids for combination in selected.combinations] == [("mind-wandering", "economic-moat")]
    assert selected.curated
    path = root.paths.selected_combos_csv
    assert selected.note.startswith(f"{path} was edited by hand: the cohort has its 1 combination, whatever")
    assert root.paths.selected_combos_csv.read_bytes() == edited
    root.paths.selected_combos_csv.unlink()
    assert [c.concept_ids for c in update(root).combinations] == [("economic-moat", "flywheel")]


def test_an_edit_that_is_taken_back_leaves_a_generated_table(root: DataRoot) -> None:
    update(root)
    rows = read_rows(root.paths.selected_combos_csv)
    edit(root, rows[:2])
    assert update(root).curated
    edit(root, [{**row, "created_at": "lost by an editor"} for row in rows])
    assert not update(root).curated


def test_without_a_note_of_what_was_generated_the_content_tells(root: DataRoot) -> None:
    update(root)
    root.paths.generated_combos.unlink()
    assert not update(root).curated
    assert root.paths.generated_combos.exists()
    root.paths.generated_combos.unlink()
    root.write_concepts(["economic-moat", "flywheel"], inactive=["mind-wandering"])
    assert update(root).curated


def test_reading_writes_nothing(root: DataRoot) -> None:
    read_selected_combinations(root.paths, root.read_catalogue(), make_config())
    assert not root.paths.tasks.exists()
    assert not root.paths.state.exists()


def test_a_combination_of_ones_own_needs_only_concepts_a_level_and_a_size(root: DataRoot) -> None:
    root.write(
        root.paths.selected_combos_csv,
        "combo_id,concept_id,description_level,k_max\nmine,flywheel,article,1\nours,flywheel,sentence,2\n"
        "ours,economic-moat,sentence,2\n",
    )
    assert update(root).combinations == [
        Combination("mine", ("flywheel",), "article", 1),
        Combination("ours", ("flywheel", "economic-moat"), "sentence", 2),
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("mine,phlogiston,paragraph,1", ":2, column concept_id: unknown concept (found 'phlogiston')"),
        ("mine,flywheel,chapter,1", ":2, column description_level: unknown description level (found 'chapter')"),
        ("mine,flywheel,paragraph,2", ":2, column k_max: the combination has 1 concepts (found '2'); allowed: 1"),
        (
            "mine,flywheel,paragraph,2\nmine,flywheel,paragraph,2",
            ":3, column concept_id: the combination has this concept already in line 2 (found 'flywheel')",
        ),
        (
            "mine,flywheel,paragraph,2\nmine,economic-moat,sentence,2",
            ":3, column description_level: line 2 says 'paragraph' for the same combination (found 'sentence')",
        ),
        (
            f"{PAIR.combo_id},flywheel,paragraph,1",
            ":2, column combo_id: this id belongs to other concepts, another level or another k_max",
        ),
        ("", ": the table has no rows; allowed: rows; or delete the file to generate all combinations"),
    ],
)
def test_a_hand_edited_table_is_checked(root: DataRoot, rows: str, expected: str) -> None:
    root.write(root.paths.selected_combos_csv, f"combo_id,concept_id,description_level,k_max\n{rows}\n")
    problems = problems_of(root)
    assert len(problems) == 1
    assert problems[0].startswith(expected)


@pytest.mark.parametrize(
    ("k_max", "expected"),
    [
        (4, "3 active concepts cannot make combinations of k_max = 4."),
        (0, "k_max is 0, but a combination needs at least one concept."),
    ],
)
def test_a_size_that_makes_no_combination_is_refused(root: DataRoot, k_max: int, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        update(root, k_max)
    assert caught.value.what == expected


def test_a_size_that_makes_far_too_many_combinations_is_refused_before_they_are_made(root: DataRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(60)])
    with pytest.raises(ConfigurationError) as caught:
        update(root, 30)
    assert "60 active concepts make 118,264,581,564,861,424 combinations of k_max = 30" in caught.value.what


def test_writing_the_generated_table_is_no_change_of_the_inputs_but_editing_it_is(root: DataRoot) -> None:
    before = compute_input_versions(root.paths)
    update(root)
    assert compute_input_versions(root.paths) == before
    edit(root, read_rows(root.paths.selected_combos_csv)[:2])
    after = compute_input_versions(root.paths)
    assert {kind for kind in before if after[kind] != before[kind]} == {"selection_files"}


# The registry -------------------------------------------------------------------------------------------------------
def test_the_registry_only_grows(root: DataRoot) -> None:
    other = build_combination(["economic-moat"], "sentence", 1)
    assert register_combinations(root.paths, [PAIR], clock=lambda: NOON) == 1
    before = root.paths.combo_registry_csv.read_text()
    assert register_combinations(root.paths, [PAIR, other], clock=lambda: NOON + timedelta(days=1)) == 1
    assert root.paths.combo_registry_csv.read_text().startswith(before)
    assert register_combinations(root.paths, [other, PAIR]) == 0
    assert read_combo_registry(root.paths) == {PAIR.combo_id: PAIR, other.combo_id: other}


def test_an_id_that_is_known_with_other_content_is_refused(root: DataRoot) -> None:
    mine = Combination("mine", ("flywheel", "economic-moat"), "paragraph", 2)
    register_combinations(root.paths, [mine])
    register_combinations(root.paths, [Combination("mine", ("economic-moat", "flywheel"), "paragraph", 2)])
    for other in (
        Combination("mine", ("flywheel", "mind-wandering"), "paragraph", 2),
        Combination("mine", ("flywheel", "economic-moat"), "sentence", 2),
    ):
        with pytest.raises(MembershipError) as caught:
            register_combinations(root.paths, [other])
        assert "'mine' is already known as flywheel + economic-moat (paragraph, k_max 2)" in caught.value.what


def test_new_rows_follow_the_columns_of_the_table_that_is_there(root: DataRoot) -> None:
    root.write(
        root.paths.combo_registry_csv,
        "k_max,description_level,remark,concept_id,combo_id\n1,article,why not,flywheel,old",
    )
    register_combinations(root.paths, [PAIR], clock=lambda: NOON)
    assert root.paths.combo_registry_csv.read_text().splitlines()[1:] == [
        "1,article,why not,flywheel,old",
        f"2,paragraph,,mind-wandering,{PAIR.combo_id}",
        f"2,paragraph,,flywheel,{PAIR.combo_id}",
    ]
    assert read_combo_registry(root.paths)["old"] == Combination("old", ("flywheel",), "article", 1)


def test_a_damaged_registry_is_told_and_not_written_over(root: DataRoot) -> None:
    root.write(root.paths.combo_registry_csv, "combo_id,concept_id\nold,flywheel\n")
    with pytest.raises(InputErrors) as caught:
        register_combinations(root.paths, [PAIR])
    assert "the column 'description_level' is missing" in str(caught.value)
    assert root.paths.combo_registry_csv.read_text() == "combo_id,concept_id\nold,flywheel\n"
