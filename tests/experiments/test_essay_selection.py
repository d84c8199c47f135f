"""A list of the best essays that never writes over somebody's own."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from tests.experiments.rated_root import RatedRoot, essays, evaluations, score, spread

from daydreaming_dagster.domain.errors import ConfigurationError, StoreError
from daydreaming_dagster.domain.selection import Mode, parse_selection
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.essay_selection import choose_top_essays, write_selection
from daydreaming_dagster.experiments.result_tables import aggregated_scores_path, write_aggregated_scores


@pytest.fixture
def workspace(root: RatedRoot) -> Workspace:
    root.write_templates(Stage.EVALUATION, {"novelty": "Judge: {{ response }}"}, construct="prior_art")
    members = root.build().members
    ranks = {essay.gen_id: rank for rank, essay in enumerate(essays(list(members)))}
    root.run(lambda member: score(9 - ranks[member.parent_gen_id]))
    workspace = root.workspace()
    write_aggregated_scores(workspace)
    return workspace


def test_top_n_limits_and_the_file_can_be_read_as_a_selection(workspace: Workspace) -> None:
    best = [m.gen_id for m in workspace.require_current_cohort().members if m.stage is Stage.ESSAY]
    selection = choose_top_essays(workspace, 2, mode=Mode.REUSE_ESSAYS, fill_up=True)
    write_selection(workspace.paths, selection)
    read, problems = parse_selection(selection.path.read_text(), Stage.ESSAY, "selected_essays.txt")
    assert not problems
    assert [chosen.gen_id for chosen in read.ids] == best[:2]
    assert read.mode is Mode.REUSE_ESSAYS
    assert read.fill_up
    assert workspace.plan_cohort().members


def test_choosing_writes_nothing(workspace: Workspace) -> None:
    assert choose_top_essays(workspace, 1).path.exists() is False


def test_what_was_written_is_written_over_and_what_was_edited_is_not(workspace: Workspace) -> None:
    write_selection(workspace.paths, choose_top_essays(workspace, 1))
    write_selection(workspace.paths, choose_top_essays(workspace, 2))
    path = workspace.paths.selected_essays
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(StoreError, match="edited by hand") as refused:
        write_selection(workspace.paths, choose_top_essays(workspace, 1))
    assert "--force" in refused.value.fix
    assert path.read_text().endswith("# mine\n")
    write_selection(workspace.paths, choose_top_essays(workspace, 1), force=True)
    assert path.read_text().count("\ne_") == 1


def test_a_list_that_stood_there_before_counts_as_edited(workspace: Workspace) -> None:
    workspace.paths.tasks.mkdir(parents=True, exist_ok=True)
    workspace.paths.selected_essays.write_text("e_mine\n")
    with pytest.raises(StoreError):
        write_selection(workspace.paths, choose_top_essays(workspace, 1))


def test_selected_drafts_are_not_contradicted(workspace: Workspace) -> None:
    workspace.paths.tasks.mkdir(parents=True, exist_ok=True)
    workspace.paths.selected_drafts.write_text("d_mine\n")
    with pytest.raises(StoreError, match="only one of the two"):
        write_selection(workspace.paths, choose_top_essays(workspace, 1))


@pytest.mark.parametrize(("top_n", "templates"), [(0, []), (3, ["no-such-rubric"])])
def test_a_choice_that_selects_nothing_is_refused(workspace: Workspace, top_n: int, templates: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        choose_top_essays(workspace, top_n, templates=templates)


def test_the_store_is_read_and_not_the_table_that_was_made_before(workspace: Workspace, root: RatedRoot) -> None:
    assert choose_top_essays(workspace, 1).is_table_old is False
    last = evaluations(list(workspace.require_current_cohort().members))[-1]
    root.keep(last, score(9), "9.0\n")
    for path in (None, aggregated_scores_path(workspace.paths)):
        selection = choose_top_essays(workspace, 2, scores_path=path)
        assert last.parent_gen_id in selection.essays["parent_gen_id"].to_list()
        assert selection.is_table_old


def test_a_table_of_ones_own_is_taken_as_it_is_and_told_to_be_old(
    workspace: Workspace, root: RatedRoot, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.csv"
    write_aggregated_scores(workspace, mine)
    assert "may be older" not in choose_top_essays(workspace, 1, scores_path=mine).text
    last = evaluations(list(workspace.require_current_cohort().members))[-1]
    root.keep(last, score(9), "9.0\n")
    selection = choose_top_essays(workspace, 2, scores_path=mine)
    assert last.parent_gen_id not in selection.essays["parent_gen_id"].to_list()
    assert f"1 evaluation of the store is not so in {mine}, which may be older" in selection.text


def test_a_table_that_is_not_there_is_not_needed(workspace: Workspace, tmp_path: Path) -> None:
    aggregated_scores_path(workspace.paths).unlink()
    aggregated_scores_path(workspace.paths).with_suffix(".parquet").unlink()
    assert choose_top_essays(workspace, 3).is_table_old
    with pytest.raises(StoreError) as missing:
        choose_top_essays(workspace, 3, scores_path=tmp_path / "nothing.csv")
    assert "daydreaming aggregate-scores" in missing.value.fix


def test_essays_left_out_with_the_same_score_are_told_and_so_is_the_mode(root: RatedRoot) -> None:
    root.write_templates(Stage.EVALUATION, {"novelty": "Judge: {{ response }}"}, construct="prior_art")
    root.run(lambda _: score(7))
    selection = choose_top_essays(root.workspace(), 2)
    assert "# 1 essay with the same score as the last one is left out" in selection.text
    assert "# No mode is written: drafts and essays are made anew;" in selection.text
    assert "same score" not in choose_top_essays(root.workspace(), 3).text


def test_where_lower_is_better_the_lowest_score_comes_first(root: RatedRoot) -> None:
    root.write_templates(
        Stage.EVALUATION, {"known": "Judge: {{ response }}"}, construct="prior_art", direction="lower_is_better"
    )
    ranks = {essay.gen_id: rank for rank, essay in enumerate(essays(list(root.build().members)))}
    root.run(lambda member: score(ranks[member.parent_gen_id]))
    best = choose_top_essays(root.workspace(), 1).essays.row(0, named=True)
    assert (ranks[best["parent_gen_id"]], best["score"]) == (0, 9.0)


def test_rubrics_of_different_scales_are_not_averaged(root: RatedRoot) -> None:
    root.run(spread)
    table = root.paths.templates_csv(Stage.EVALUATION)
    first, novelty, coherence = table.read_text().splitlines()
    rows = [f"{first},scale_min,scale_max", f"{novelty},0,9", f"{coherence},0,100"]
    table.write_text("\n".join(rows) + "\n")
    with pytest.raises(ConfigurationError, match="different scales"):
        choose_top_essays(root.workspace(), 1, templates=["novelty", "coherence"])


def test_a_table_that_a_spreadsheet_saved_is_read(workspace: Workspace) -> None:
    own = aggregated_scores_path(workspace.paths)
    own.with_suffix(".parquet").unlink()
    own.write_text(re.sub(r"\.0\b", "", own.read_text()))
    assert choose_top_essays(workspace, 1).is_table_old is False


def test_a_table_without_rows_is_an_old_one(workspace: Workspace) -> None:
    own = aggregated_scores_path(workspace.paths)
    own.with_suffix(".parquet").unlink()
    own.write_text(own.read_text().splitlines()[0] + "\n")
    assert choose_top_essays(workspace, 1).is_table_old


def test_a_table_without_scales_takes_those_of_the_rubrics(root: RatedRoot, tmp_path: Path) -> None:
    root.write_templates(
        Stage.EVALUATION, {"known": "Judge: {{ response }}"}, construct="prior_art", direction="lower_is_better"
    )
    ranks = {essay.gen_id: rank for rank, essay in enumerate(essays(list(root.build().members)))}
    root.run(lambda member: score(ranks[member.parent_gen_id]))
    mine = tmp_path / "mine.csv"
    write_aggregated_scores(root.workspace(), mine)
    pl.read_csv(mine).drop("scale_min", "scale_max").write_csv(mine)
    mine.with_suffix(".parquet").unlink(missing_ok=True)
    best = choose_top_essays(root.workspace(), 1, scores_path=mine).essays.row(0, named=True)
    assert (ranks[best["parent_gen_id"]], best["score"]) == (0, 9.0)
