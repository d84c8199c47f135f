"""What an experiment used is kept as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.experiments.rated_root import RatedRoot
from tests.fakes.data_root import write_rows

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.experiments.input_stash import stash_active_inputs


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_active_rows_are_copied_with_all_their_columns(root: RatedRoot) -> None:
    rows = [
        {" concept_id": "a", "name": "A", "active": " yes ", "mine": "1"},
        {" concept_id": "b", "name": "B", "active": "no", "mine": "2"},
        {" concept_id": "c", "name": "C", "active": "TRUE", "mine": "3"},
    ]
    write_rows(root.paths.concepts_csv, rows)
    folder = stash_active_inputs(root.workspace(), "exp_1")
    assert folder == root.paths.experiments / "exp_1"
    assert read(folder / "active_concepts.csv") == [
        {"concept_id": "a", "name": "A", "active": "yes", "mine": "1"},
        {"concept_id": "c", "name": "C", "active": "TRUE", "mine": "3"},
    ]
    assert [row["template_id"] for row in read(folder / "active_evaluation_templates.csv")] == ["novelty", "coherence"]
    assert [row["id"] for row in read(folder / "active_llm_models.csv")] == ["writer", "judge"]


def test_a_later_run_of_the_experiment_renews_the_copies(root: RatedRoot) -> None:
    root.write(root.paths.selected_essays, "e_1\n")
    folder = stash_active_inputs(root.workspace(), "exp_1")
    assert (folder / "selected_essays.txt").read_text() == "e_1\n"
    root.paths.selected_essays.unlink()
    root.write_concepts(["economic-moat", "flywheel"])
    stash_active_inputs(root.workspace(), "exp_1")
    assert len(read(folder / "active_concepts.csv")) == 2
    assert not (folder / "selected_essays.txt").exists()


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b", ".hidden", "two words"])
def test_a_name_that_is_no_folder_name_is_refused(root: RatedRoot, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of an experiment"):
        stash_active_inputs(root.workspace(), name)
