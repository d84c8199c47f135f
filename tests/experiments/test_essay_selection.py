"""A list of the best essays that never writes over somebody's own."""

from __future__ import annotations

import pytest
from tests.experiments.rated_root import RatedRoot, essays, score

from daydreaming_dagster.domain.errors import ConfigurationError, StoreError
from daydreaming_dagster.domain.selection import Mode, parse_selection
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.essay_selection import choose_top_essays, write_selection
from daydreaming_dagster.experiments.result_tables import write_aggregated_scores


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


def test_a_missing_table_names_the_command_that_makes_it(root: RatedRoot) -> None:
    root.build()
    with pytest.raises(StoreError) as missing:
        choose_top_essays(root.workspace(), 3)
    assert "daydreaming aggregate-scores" in missing.value.fix
