"""Purging takes what only one cohort has, children included, and nothing else."""

from __future__ import annotations

import pytest
from tests.experiments.rated_root import RatedRoot, essays, evaluations, spread

from daydreaming_dagster.domain.errors import MembershipError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.purging import execute_purge, plan_purge
from daydreaming_dagster.store.owners import Owner


def stored(root: RatedRoot) -> set[str]:
    return {gen_id for stage in Stage for gen_id in root.store.iter_gen_ids(stage)}


def test_planning_removes_nothing_and_says_what_the_responses_cost(root: RatedRoot) -> None:
    members = root.run(spread, cohort="mine")
    before = stored(root)
    plan = plan_purge(root.workspace(), "mine")
    assert sum(len(gen_ids) for gen_ids in plan.doomed.values()) == len(members) == plan.responses
    assert plan.cost_usd == pytest.approx(0.001 * len(members))
    assert stored(root) == before


def test_everything_that_only_the_cohort_has_goes(root: RatedRoot) -> None:
    root.run(spread, cohort="mine")
    execute_purge(root.workspace(), plan_purge(root.workspace(), "mine"))
    assert stored(root) == set()
    assert not root.paths.cohort("mine").exists()
    assert not (root.paths.state / "trash").exists()


def test_what_another_cohort_has_stays(root: RatedRoot) -> None:
    root.run(spread, cohort="large")
    root.write_templates(Stage.EVALUATION, {"novelty": "Judge: {{ response }}"})
    kept = {member.gen_id for member in root.build("small").members}
    plan = plan_purge(root.workspace(), "large")
    assert plan.kept == len(kept)
    execute_purge(root.workspace(), plan)
    assert stored(root) == kept


def test_what_was_made_from_a_purged_text_goes_with_it_though_it_is_in_no_cohort(root: RatedRoot) -> None:
    members = root.run(spread, cohort="mine")
    essay = essays(members)[0]
    stray = evaluations(members)[0]._replace(gen_id="v_stray", parent_gen_id=essay.gen_id, replicate=9)
    root.keep(stray, "SCORE: 3", "3.0\n")
    assert "v_stray" in plan_purge(root.workspace(), "mine").doomed[Stage.EVALUATION]


def test_a_purge_that_was_cut_off_is_finished_by_purging_again(root: RatedRoot) -> None:
    root.run(spread, cohort="mine")
    plan = plan_purge(root.workspace(), "mine")
    trash = root.paths.state / "trash"
    trash.mkdir(parents=True)
    first = plan.doomed[Stage.EVALUATION][0]
    root.paths.generation(Stage.EVALUATION, first).rename(trash / first)
    execute_purge(root.workspace(), plan_purge(root.workspace(), "mine"))
    assert stored(root) == set()
    assert not trash.exists()


def test_nothing_is_removed_while_a_run_is_under_way(root: RatedRoot) -> None:
    root.run(spread, cohort="mine")
    before, plan = stored(root), plan_purge(root.workspace(), "mine")
    owner = Owner(root.paths)
    try:
        with pytest.raises(MembershipError, match="A run is under way"):
            execute_purge(root.workspace(), plan)
    finally:
        owner.close()
    assert stored(root) == before


def test_an_unknown_cohort_is_refused(root: RatedRoot) -> None:
    root.build("mine")
    with pytest.raises(StoreError, match="no cohort 'other'"):
        plan_purge(root.workspace(), "other")
