"""Dagster's pages lead to the explorer: each asset to a page about its kind, each partition to its generation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from dagster import MetadataValue
from tests.dagster.scene import Scene
from tests.store.outcomes import make_outcome

from daydreaming_dagster import definitions
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.resources import explorer_links
from daydreaming_dagster.resources.event_rows import Materialization
from daydreaming_dagster.resources.outcome_recorder import Stored, build_records
from daydreaming_dagster.resources.recorder import FailedMaterialization


@pytest.fixture(autouse=True)
def _address_is_read_anew() -> Iterator[None]:
    explorer_links._read_address.cache_clear()
    yield
    explorer_links._read_address.cache_clear()


def test_every_asset_that_is_made_here_leads_to_a_page_and_raw_inputs_do_not() -> None:
    raw = {asset.key.to_user_string() for asset in definitions.RAW_INPUTS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster's own, about how it takes the raw inputs in
        graph = definitions.defs.resolve_asset_graph()
    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    linked = {name: node.metadata["explorer"].url for name, node in nodes.items() if "explorer" in node.metadata}
    assert linked.keys() == nodes.keys() - raw
    assert linked["agreement"] == "http://127.0.0.1:8765/judges"
    assert linked["ranking"] == "http://127.0.0.1:8765/essays"


def test_a_generation_of_a_bulk_run_leads_to_its_page() -> None:
    records = list(build_records(Stored.of_outcome(make_outcome())))
    parsed = records[-1]
    assert isinstance(parsed, Materialization)
    assert parsed.metadata["explorer"] == MetadataValue.url("http://127.0.0.1:8765/generation/d_1")


def test_a_failed_generation_leads_to_its_page_too() -> None:
    failure = {"reason": "truncated", "message": "Cut off.", "code": "", "lasting": True}
    failed = list(build_records(Stored.of_outcome(make_outcome(parsed=None, failure=failure))))[-1]
    assert isinstance(failed, FailedMaterialization)
    assert failed.metadata["explorer"].url == "http://127.0.0.1:8765/generation/d_1"


def test_a_partition_made_alone_leads_to_its_page(scene: Scene) -> None:
    scene.build_cohort()
    draft = scene.of_stage(Stage.DRAFT)[0]
    assert scene.materialize(["draft_prompt"], partition=draft).success
    assert scene.metadata("draft_prompt", draft)["explorer"] == f"http://127.0.0.1:8765/generation/{draft}"


def test_the_address_can_be_another_one_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_EXPLORER_URL", "http://machine.example:9000/")
    assert explorer_links.link_generation("d_1")["explorer"].url == "http://machine.example:9000/generation/d_1"
    explorer_links._read_address.cache_clear()
    monkeypatch.setenv("DD_EXPLORER_URL", "")
    assert explorer_links.link_generation("d_1") == {}
