"""A Dagster home that knows nothing learns from the store what there is, once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus
from tests.dagster.homes import BATCHED, open_home
from tests.dagster.scene import Scene
from tests.experiments.rated_root import RatedRoot, evaluations, score

from daydreaming_dagster.cli.dagster_runs import report_store
from daydreaming_dagster.domain.stages import STEPS, Stage


@pytest.fixture
def new_home(tmp_path: Path, empty_home: Path) -> Iterator[DagsterInstance]:
    with open_home(Path(shutil.copytree(empty_home, tmp_path / "new")), BATCHED) as instance:
        yield instance


def test_partitions_and_statuses_come_back_failed_ones_included(scene: Scene, new_home: DagsterInstance) -> None:
    assert isinstance(scene.root, RatedRoot)
    broken = evaluations(list(scene.root.build().members))[0].gen_id
    members = scene.root.run(lambda member: "no score" if member.gen_id == broken else score(5))
    counts = report_store(new_home)
    assert counts == {"cohorts": 1, "recorded": len(members) - 1, "failures": 1}
    known = Scene(scene.root, new_home)
    for stage in Stage:
        assert known.partitions(stage) == known.of_stage(stage)
        for step in STEPS:
            expected = set(known.of_stage(stage)) - ({broken} if step == "parsed" else set())
            assert known.materialized(f"{stage}_{step}") == expected
    attempts = new_home.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        AssetKey("evaluation_parsed")
    )
    run_id, _ = attempts[broken]
    run = new_home.get_run_by_id(run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.FAILURE, "Dagster shows a partition as failed when its run has failed"


def test_nothing_is_told_twice(scene: Scene, new_home: DagsterInstance) -> None:
    assert isinstance(scene.root, RatedRoot)
    scene.root.run(lambda member: score(3) if member.template_id == "novelty" else None)
    assert report_store(new_home)["failures"] == 3
    events = new_home.get_event_records
    assert report_store(new_home) == {"cohorts": 1, "recorded": 0, "failures": 0}
    assert events is not None


def test_every_cohort_gets_its_partitions(scene: Scene, new_home: DagsterInstance) -> None:
    first = scene.root.build("one").members
    scene.root.write_concepts(["stigmergy", "tacit-knowledge"])
    second = scene.root.build("two").members
    assert report_store(new_home) == {"cohorts": 2, "recorded": 0, "failures": 0}
    known = Scene(scene.root, new_home)
    assert set(known.partitions(Stage.DRAFT)) == {m.gen_id for m in (*first, *second) if m.stage is Stage.DRAFT}
