"""Dagster homes for tests: temporary folders with the storage or the configuration under test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

SHIPPED_CONFIGURATION = Path(__file__).parents[2] / "dagster_home" / "dagster.yaml"

STOCK = "storage: {{sqlite: {{base_dir: '{home}'}}}}\n"
BATCHED = """
storage:
  custom:
    module: daydreaming_dagster.resources.event_log
    class: BatchedSqliteStorage
    config: {{base_dir: '{home}'}}
"""


@contextmanager
def open_home(home: Path, configuration: str) -> Iterator[DagsterInstance]:
    """An instance whose configuration is the text; `{home}` in it stands for its folder."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + configuration.format(home=home))
    with DagsterInstance.from_config(str(home)) as instance:
        yield instance


@contextmanager
def open_shipped_home(home: Path, monkeypatch: pytest.MonkeyPatch, added: str = "") -> Iterator[DagsterInstance]:
    """An instance with the shipped configuration and what a user may have added at its end."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(SHIPPED_CONFIGURATION, home)
    with (home / "dagster.yaml").open("a") as file:
        file.write(added)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with DagsterInstance.get() as instance:
        yield instance


def add_run(instance: DagsterInstance, run_id: str | None = None) -> DagsterRun:
    """A run that has started; no job stands behind it."""
    run = DagsterRun(job_name="bulk", run_id=run_id, status=DagsterRunStatus.STARTED, tags={"experiment_id": "test"})
    return instance.add_run(run)
