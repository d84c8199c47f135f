"""With `dagster dev` running, an edit of the inputs builds the cohort anew, once, and nobody is called."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from tests.fakes.openai_server import OpenAIServer, serve_in_thread
from tests.guide.servers import fetch, find_free_port, serve
from tests.guide.shell import GuideShell

FILE = "-f src/daydreaming_dagster/definitions.py"
PAIR = f'dagster asset materialize {FILE} --select "cohort_id,cohort_membership"'
LOOK = """{
  runsOrError(filter: {pipelineName: "cohort_assets"}) { ... on Runs { results { status tags { key value } } } }
  sensorOrError(sensorSelector: {
    repositoryName: "__repository__", repositoryLocationName: "definitions.py", sensorName: "raw_inputs_changed"
  }) { ... on Sensor { sensorState { status ticks(limit: 1) { status skipReason } } } }
}"""


def read_reason_of_last_tick(seen: Any) -> str:
    ticks = seen["sensorOrError"]["sensorState"]["ticks"]
    return str(ticks[0]["skipReason"]) if ticks else ""


def activate_concepts(folder: Path, count: int) -> None:
    """Edits the table as an editor does: a new file in the place of the old one."""
    path = folder / "data/1_raw/concepts_metadata.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["active"] = str(number < count)
    with (folder / "edited.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    shutil.move(folder / "edited.csv", path)


@pytest.mark.slow
def test_an_edit_builds_the_cohort_and_its_partitions_once_and_calls_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}/graphql"

    def look() -> Any:
        return json.loads(fetch(url, {"query": LOOK}))["data"]

    with serve_in_thread(OpenAIServer()) as model:
        shell = GuideShell(tmp_path / "checkout", endpoint=f"openrouter,openai,{model.base_url},,")
        shell.require(PAIR)
        before = set(shell.folder.glob("data/cohorts/*"))
        with serve(shell, f"dagster dev {FILE} --port {port}") as server:
            server.wait_for(lambda: read_reason_of_last_tick(look()) == "Nothing has changed." or None, "watching")
            activate_concepts(shell.folder, 3)
            activate_concepts(shell.folder, 4)
            server.wait_for(lambda: read_statuses(look()) == ["SUCCESS"] or None, "a run that succeeds")
            server.wait_for(lambda: read_reason_of_last_tick(look()) == "Nothing has changed." or None, "quiet again")
            runs = look()["runsOrError"]["results"]
        assert len(runs) == 1
        assert {"key": "daydreaming/changed_inputs", "value": "concepts"} in runs[0]["tags"]
        assert len(set(shell.folder.glob("data/cohorts/*")) - before) == 1
        drafts = shell.gen_ids("draft")
        assert len(drafts) == 6 * 2, "pairs of four concepts, two templates"
        assert model.received == 0
        assert not (shell.folder / "data/gens").exists()
    monkeypatch.setenv("DAGSTER_HOME", str(shell.folder / "dagster_home"))
    with DagsterInstance.get() as instance:
        assert set(instance.get_dynamic_partitions("draft_gens")) >= set(drafts)


def read_statuses(seen: Any) -> list[str]:
    return [run["status"] for run in seen["runsOrError"]["results"]]
