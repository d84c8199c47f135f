"""The sensor builds the cohort once after an edit, when the files are left alone, and never calls a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
from dagster import SensorResult, build_sensor_context
from tests.dagster.scene import FIVE, Scene

from daydreaming_dagster.automation import cohort_assets, raw_inputs_changed
from daydreaming_dagster.definitions import build_resources, defs
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.resources.workspace import ExperimentConfigResource


@pytest.fixture
def tick(scene: Scene) -> Callable[[], SensorResult]:
    cursor: list[str | None] = [None]

    def evaluate() -> SensorResult:
        workspace = build_resources(ExperimentConfigResource())["workspace"]
        with build_sensor_context(
            instance=scene.instance, cursor=cursor[0], resources={"workspace": workspace}, definitions=defs
        ) as context:
            result = raw_inputs_changed(context)
        assert isinstance(result, SensorResult)
        cursor[0] = result.cursor
        return result

    return evaluate


def test_the_first_look_starts_nothing_and_shows_the_versions(tick: Callable[[], SensorResult]) -> None:
    first = tick()
    assert not first.run_requests
    assert {event.asset_key.to_user_string() for event in first.asset_events} >= {"concepts", "llm_models"}
    assert not tick().run_requests


def test_an_edit_is_acted_upon_once_after_the_files_were_left_alone(
    scene: Scene, tick: Callable[[], SensorResult]
) -> None:
    tick()
    scene.root.write_concepts(["stigmergy", "tacit-knowledge"])
    assert not tick().run_requests, "somebody may still be editing"
    scene.root.write_replicates(draft=2)
    assert not tick().run_requests, "and was"
    result = tick()
    assert len(result.run_requests or ()) == 1
    assert (result.run_requests or ())[0].tags["daydreaming/changed_inputs"] == "concepts,replication_config"
    assert {event.asset_key.to_user_string() for event in result.asset_events} == {"concepts", "replication_config"}
    assert not tick().run_requests
    assert not tick().run_requests


def test_an_edit_that_is_taken_back_in_time_starts_nothing(scene: Scene, tick: Callable[[], SensorResult]) -> None:
    tick()
    before = scene.root.paths.replication_csv.read_text()
    scene.root.write_replicates(essay=3)
    tick()
    scene.root.paths.replication_csv.write_text(before)
    assert not tick().run_requests
    assert not tick().run_requests


def test_what_the_requested_run_writes_is_no_change(scene: Scene, tick: Callable[[], SensorResult]) -> None:
    tick()
    assert scene.materialize(FIVE).success
    assert scene.root.paths.selected_combos_csv.exists()
    assert not tick().run_requests
    assert not tick().run_requests


def test_the_requested_job_calls_no_model(scene: Scene) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        job = defs.resolve_job_def(cohort_assets.name)
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert keys == set(FIVE)
    assert not any(scene.root.paths.stage(stage).exists() for stage in Stage)
