"""An export can be read by anybody: every column is explained, and every file says what it belongs to."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.experiments.rated_root import ESSAY, RatedRoot, spread

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.experiments.export import CARD, NO_LICENCE, TABLE_MEANINGS, write_export
from daydreaming_dagster.experiments.export_columns import COLUMNS, COLUMNS_OF, find_meaning


@pytest.fixture
def exported(root: RatedRoot, tmp_path: Path) -> Path:
    root.run(spread, cohort="mine", experiment="night-watch")
    return write_export(root.workspace(), output=tmp_path / "out", licence="CC BY 4.0").folder


def test_every_table_is_a_parquet_file_that_says_where_it_belongs(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {f"{name}.parquet" for name in TABLE_MEANINGS} | {CARD}
    for name in TABLE_MEANINGS:
        table = pl.read_parquet(exported / f"{name}.parquet")
        assert {"cohort_id", "experiment_id"} <= set(table.columns)
        assert set(table["cohort_id"].to_list()) <= {"mine"}
        assert set(table["experiment_id"].to_list()) <= {"night-watch"}
        assert '"about":"mine"' in pl.read_parquet_metadata(exported / f"{name}.parquet")["daydreaming"]


def test_the_card_explains_every_column_and_names_licence_and_models(exported: Path) -> None:
    card = (exported / CARD).read_text()
    for name in TABLE_MEANINGS:
        section = card.partition(f"### {name}\n")[2].partition("\n### ")[0]
        for column in pl.read_parquet_schema(exported / f"{name}.parquet"):
            assert f"| `{column}` |" in section
    assert "CC BY 4.0" in card
    assert "judge (maker/judge)" in card
    assert "Only one judge rated coherence and novelty." in card


def test_essays_come_with_text_and_lineage(exported: Path) -> None:
    essays = pl.read_parquet(exported / "essays.parquet")
    assert essays["text"].to_list() == [ESSAY] * 3
    assert essays["draft_gen_id"].str.starts_with("d_").all()
    combinations = pl.read_parquet(exported / "combinations.parquet")
    assert combinations.filter(pl.col("combo_id") == essays["combo_id"][0])["concept_name"].len() == 2


def test_nothing_made_yet_gives_whole_tables_without_ratings(root: RatedRoot, tmp_path: Path) -> None:
    root.build()
    written = write_export(root.workspace(), output=tmp_path / "out")
    assert written.rows["calls"] == 0
    assert pl.read_parquet(tmp_path / "out" / "ranking.parquet").height == 0
    assert NO_LICENCE in (tmp_path / "out" / CARD).read_text()


def test_a_file_in_place_of_the_folder_is_left_alone(root: RatedRoot, tmp_path: Path) -> None:
    root.run(spread)
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StoreError, match="is a file"):
        write_export(root.workspace(), output=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_no_meaning_is_written_down_for_a_column_that_does_not_exist(exported: Path) -> None:
    columns = {
        (name, column) for name in TABLE_MEANINGS for column in pl.read_parquet_schema(exported / f"{name}.parquet")
    }
    assert set(COLUMNS) <= {column for _, column in columns}
    assert set(COLUMNS_OF) <= columns


def test_the_ends_of_an_interval_are_explained_by_its_figure() -> None:
    assert find_meaning("rating_health", "severity_low") == ("points", "lower end of the 95 % interval of severity")
    with pytest.raises(KeyError):
        find_meaning("ranking", "no_such_column")
