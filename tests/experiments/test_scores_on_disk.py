"""A table of scores on disk is read as what it says, whoever wrote it, or refused with the cell that is wrong."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.experiments.rated_root import RatedRoot, spread

from daydreaming_dagster.analysis.parsed_scores import PARSED_SCORES_SCHEMA
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.experiments.result_tables import CROSS_TABLES, build_aggregated_scores, build_cross_table
from daydreaming_dagster.experiments.scores_on_disk import read_scores
from daydreaming_dagster.store.tables import write_table

HEAD = "gen_id,parent_gen_id,evaluation_template,evaluation_llm_model,score"


def read(path: Path, *lines: str) -> pl.DataFrame:
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    return read_scores(path, "Make it.")


def test_a_table_without_any_row_has_its_types_and_gives_tables_without_rows(root: RatedRoot) -> None:
    path = root.paths.root / "scores.csv"
    path.write_text(",".join(PARSED_SCORES_SCHEMA) + "\n")
    assert dict(read_scores(path, "Make it.").schema) == PARSED_SCORES_SCHEMA
    for name in CROSS_TABLES:
        assert build_cross_table(root.workspace(), name, path).height == 0


def test_a_table_of_another_program_may_lack_columns_and_keeps_names_that_look_like_numbers(tmp_path: Path) -> None:
    table = read(tmp_path / "scores.csv", "v_1,e_1,novelty,007,7.5", "v_2,e_1,novelty,007,")
    assert table["evaluation_llm_model"].to_list() == ["007", "007"]
    assert table["score"].to_list() == [7.5, None]
    assert table["error"].to_list() == [None, "score_missing"]
    assert table["scale_max"].to_list() == [None, None]


@pytest.mark.parametrize("score", ["NaN", "inf", "-inf"])
def test_a_score_that_is_no_finite_number_is_an_error_and_no_score(tmp_path: Path, score: str) -> None:
    table = read(tmp_path / "scores.csv", f"v_1,e_1,novelty,judge,{score}")
    assert table.select("score", "error").rows() == [(None, "score_not_finite")]


def test_a_cell_that_is_no_number_is_named_with_its_evaluation(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the score of v_2 is 'seven', which is not a number"):
        read(tmp_path / "scores.csv", "v_1,e_1,novelty,judge,7", "v_2,e_1,novelty,judge,seven")


def test_a_table_of_something_else_is_refused_with_the_columns_that_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(StoreError, match="no column gen_id, parent_gen_id"):
        read_scores(path, "Make it.")


def test_what_was_written_is_read_back_the_same_from_either_file(root: RatedRoot) -> None:
    root.run(spread)
    scores = build_aggregated_scores(root.workspace())
    path = root.paths.root / "scores.csv"
    write_table(path, scores)
    assert read_scores(path, "Make it.").equals(scores)
    path.with_suffix(".parquet").unlink()
    assert read_scores(path, "Make it.").equals(scores)
