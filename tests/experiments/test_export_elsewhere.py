"""An export is read by the tools that others use, with the same rows, types and missing values."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from tests.experiments.rated_root import RatedRoot, score, spread

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.experiments.export import CARD, TABLE_MEANINGS, write_export


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two judges, one of whom refuses now and then; essays in other scripts."""
    folder = tmp_path_factory.mktemp("export")
    root = RatedRoot(folder)
    root.write_models(writers=["writer"], judges=["judge", "other-judge"])

    def answer(member: Member) -> str:
        return "I would rather not." if member.gen_id.endswith(("a", "b", "c", "d")) else spread(member)

    root.run(answer, essay=lambda _: "Wächter über Ideen: 夢 и «сон».\n\nZweiter Absatz.", experiment="night")
    return write_export(root.workspace(), output=folder / "out").folder


@pytest.mark.parametrize("table", TABLE_MEANINGS)
def test_pandas_reads_every_table_with_its_columns_and_missing_values(exported: Path, table: str) -> None:
    expected = pl.read_parquet(exported / f"{table}.parquet")
    read = pd.read_parquet(exported / f"{table}.parquet")
    assert list(read.columns) == expected.columns
    assert len(read) == expected.height
    for column in expected.columns:
        assert read[column].isna().sum() == expected[column].null_count(), column


@pytest.mark.parametrize("table", TABLE_MEANINGS)
def test_duckdb_reads_every_table_with_its_columns_and_missing_values(exported: Path, table: str) -> None:
    path = exported / f"{table}.parquet"
    expected = pl.read_parquet(path)
    with duckdb.connect() as database:
        read = database.execute(f"SELECT * FROM '{path}'").fetchall()
        names = [column[0] for column in database.description or ()]
    assert names == expected.columns
    assert read == expected.rows()


def test_the_three_give_the_same_mean(exported: Path) -> None:
    path = exported / "ratings_long.parquet"
    by_polars = pl.read_parquet(path).group_by("construct").agg(pl.col("value").mean()).sort("construct").rows()
    by_pandas = pd.read_parquet(path).groupby("construct")["value"].mean()
    with duckdb.connect() as database:
        query = f"SELECT construct, avg(value) FROM '{path}' GROUP BY construct ORDER BY construct"
        by_duckdb = database.execute(query).fetchall()
    assert [name for name, _ in by_polars] == ["coherence", "novelty"]
    for (name, mean), (other, found) in zip(by_polars, by_duckdb, strict=True):
        assert (other, found) == (name, pytest.approx(mean))
        assert by_pandas[name] == pytest.approx(mean)


def test_the_lines_of_the_data_card_run_as_they_stand(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)
    code = (exported / CARD).read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(compile(code, CARD, "exec"), names)
    assert isinstance(names["ratings"], pd.DataFrame)
    assert len(names["ratings"]) == pl.read_parquet("ratings_long.parquet").height


def test_texts_in_any_script_and_a_score_of_zero_come_through(tmp_path: Path) -> None:
    root = RatedRoot(tmp_path)
    root.run(lambda _: score(0), essay=lambda _: "夢")
    folder = write_export(root.workspace(), output=tmp_path / "out").folder
    assert set(pd.read_parquet(folder / "essays.parquet")["text"]) == {"夢"}
    assert set(pd.read_parquet(folder / "ratings_long.parquet")["score"]) == {0.0}
