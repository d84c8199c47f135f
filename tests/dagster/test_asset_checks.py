"""Each asset check passes when all is well, and fails when it should."""

from __future__ import annotations

from dagster import AssetKey, AssetSelection, materialize
from tests.dagster.scene import PAIR, SILENT, Scene
from tests.experiments.rated_root import RatedRoot, evaluations, score

from daydreaming_dagster import definitions
from daydreaming_dagster.checks.cohort_checks import partitions_match_membership
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.resources.workspace import ExperimentConfigResource


def evaluate(scene: Scene, *assets: str) -> dict[str, tuple[bool, str]]:
    result = scene.materialize(assets)
    assert result.success, "a check that fails does not fail the run"
    return {e.check_name: (e.passed, e.description or "") for e in result.get_asset_check_evaluations()}


def test_a_new_cohort_passes(scene: Scene) -> None:
    checks = evaluate(scene, *PAIR)
    assert set(checks) == {"partitions_match_membership", "parents_are_members"}
    assert all(passed for passed, _ in checks.values())


def test_partitions_that_went_missing_are_noticed_in_a_run_that_does_not_mend_them(scene: Scene) -> None:
    scene.build_cohort()
    lost = scene.of_stage(Stage.ESSAY)[0]
    scene.instance.delete_dynamic_partition("essay_gens", lost)
    result = materialize(
        [*definitions.ASSETS, partitions_match_membership],
        selection=AssetSelection.checks_for_assets(AssetKey("cohort_membership")),
        resources=definitions.build_resources(ExperimentConfigResource()),
        instance=scene.instance,
        run_config=SILENT,
    )
    evaluation = result.get_asset_check_evaluations()[0]
    assert not evaluation.passed
    assert "1 generations" in (evaluation.description or "")
    assert evaluation.metadata["first"].value == [lost]


def test_a_membership_with_a_lost_parent_is_noticed(scene: Scene) -> None:
    members = scene.build_cohort()
    path = scene.root.paths.membership(members[0].cohort_id)
    path.write_text(path.read_text().replace(f",{members[0].gen_id},", ",d_gone,", 1))
    passed, told = evaluate(scene, "cohort_membership")["parents_are_members"]
    assert not passed
    assert "name a parent that it does not have" in told
    assert "daydreaming materialize" in told


def test_scores_that_are_none_and_gaps_are_noticed(scene: Scene) -> None:
    assert isinstance(scene.root, RatedRoot)
    members = scene.root.run(lambda _: score(5))
    checks = evaluate(scene, "parsed_scores")
    assert all(passed for passed, _ in checks.values())
    judged = evaluations(members)
    folder = scene.root.paths.stage(Stage.EVALUATION)
    (folder / judged[0].gen_id / "parsed.txt").write_text("ten of ten\n")
    (folder / judged[1].gen_id / "parsed.txt").unlink()
    checks = evaluate(scene, "parsed_scores")
    assert checks["scores_are_on_their_scales"][0] is False
    assert checks["cohort_is_complete"][0] is False
    assert "1 evaluations" in checks["cohort_is_complete"][1]
