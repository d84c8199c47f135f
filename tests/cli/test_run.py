"""`daydreaming run`: what it tells before, during and after the calls, and what it leaves out."""

from __future__ import annotations

import io
import shutil
import sqlite3
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from sqlalchemy.exc import OperationalError
from tests.fakes.scripted_root import make_scripted_directory, run_command

from daydreaming_dagster.cli.closing_page import build_score_tables
from daydreaming_dagster.cli.dagster_runs import in_our_words
from daydreaming_dagster.cli.live_progress import describe_counts
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.progress import Progress


@pytest.mark.slow
def test_a_missing_key_is_told_before_anything_is_written(tmp_path: Path) -> None:
    make_scripted_directory(tmp_path, endpoint="openrouter,openai,http://127.0.0.1:9/v1,NOBODYS_KEY,")
    ended = run_command(tmp_path, "daydreaming", "run")
    assert ended.returncode == 1
    assert ended.stdout == "Reading inputs and generations …\n"
    assert ended.stderr == (
        "Error: Endpoint 'openrouter' needs a key, and the variable NOBODYS_KEY is not set.\n"
        '  → export NOBODYS_KEY="your key", or write it into .env. Without a key, the embedded model works: '
        "daydreaming demo\n"
    )
    assert not (tmp_path / "data" / "cohorts").exists()
    assert not list((tmp_path / "dagster_home").glob("history*"))


@pytest.mark.slow
def test_a_run_with_nothing_to_do_ends_without_dagster_until_something_has_changed(tmp_path: Path) -> None:
    make_scripted_directory(tmp_path, concepts=2)
    assert run_command(tmp_path, "daydreaming", "run").returncode == 0
    tables = tmp_path / "data" / "6_summary"

    def run_again() -> bool:
        """Whether Dagster was needed."""
        ended = run_command(tmp_path, "daydreaming", "run")
        assert ended.returncode == 0
        assert "no model was called" in ended.stdout
        assert "Scores by essay" in ended.stdout
        return "Starting Dagster" in ended.stdout

    assert not run_again()
    (tables / "ranking.csv").unlink()
    assert run_again()
    assert (tables / "ranking.csv").exists()
    score = next((tmp_path / "data" / "gens" / "evaluation").glob("*/parsed.txt"))
    score.write_text("3\n")
    assert run_again()
    assert not run_again()
    shutil.rmtree(tmp_path / "dagster_home" / "history")
    assert run_again()
    models = tmp_path / "data" / "1_raw" / "llm_models.csv"
    models.write_text(models.read_text().replace("inexpensive judge", "judge"))
    assert run_again()


def test_scores_lose_nothing_on_a_narrow_terminal() -> None:
    rubrics = ["novelty", "gemini-prior-art-eval", "coherence", "creativity", "reinvention"]
    essays = pl.DataFrame(
        {
            "parent_gen_id": ["e_1aivmqdzo4byqck9"],
            "draft_template": ["creative-synthesis-v7"],
            "generation_template": ["systematic-analytical"],
            **{rubric: [float(place)] for place, rubric in enumerate(rubrics, start=1)},
        }
    )
    for width in (40, 60, 80, 200):
        console = Console(width=width, file=io.StringIO(), force_terminal=False)
        for table in build_score_tables(essays, rubrics, width):
            console.print(table)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        for words in ("e_1aivmqdzo4byqck9", "creative-synthesis-v7", "systematic-analytical", "novelty"):
            assert words in shown, (width, words)
        for score in range(1, 6):
            assert f" {score}.0" in shown
        assert "…" not in shown


def test_time_left_is_not_told_of_a_run_that_is_being_stopped() -> None:
    progress = Progress()
    progress.planned[Stage.DRAFT] = 10
    progress.made[Stage.DRAFT] = 4
    assert describe_counts(progress, 60.0) == (
        "drafts 4/10 · 0 in flight · 4/min · 0 tokens · $0.0000 · about 1 min 30 s left"
    )
    progress.left[Stage.DRAFT] = 5
    assert describe_counts(progress, 60.0) == "drafts 4/10 · 0 in flight · 4/min · 0 tokens · $0.0000"


def test_a_run_that_waits_for_batches_tells_so_and_not_how_long_it_will_take() -> None:
    progress = Progress(batched=frozenset({Stage.EVALUATION}))
    progress.planned.update({Stage.DRAFT: 4, Stage.EVALUATION: 4})
    progress.made[Stage.DRAFT] = 2
    assert describe_counts(progress, 60.0).endswith(" · $0.0000 · batches to come, which may take hours")
    progress.made[Stage.DRAFT] = 4
    progress.in_flight = progress.in_batches = 4
    assert describe_counts(progress, 60.0).endswith(
        " · 4 in flight · 4/min · 0 tokens · $0.0000 · 4 wait for batches, which may take hours"
    )
    progress.in_batches, progress.made[Stage.EVALUATION] = 0, 4
    assert "batches" not in describe_counts(progress, 60.0)


def test_a_dagster_home_that_goes_while_it_is_in_use_is_told_with_the_way_on() -> None:
    with (
        pytest.raises(StoreError, match="cannot be used any more: unable to open database file") as told,
        in_our_words(),
    ):
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open database file"))
    assert "Everything answered is stored" in told.value.fix
