"""Runs that are killed at any moment: nothing that was paid for is lost, forgotten, or asked for again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from benchmarks.workload import open_workspace, write_inputs
from tests.fakes.openai_server import OpenAIServer, serve_in_thread

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.cohort_run import plan_cohort_run, run_cohort
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.store.index import find_index_errors
from daydreaming_dagster.store.ledger import Ledger

TREES = 40
RUN = """
import sys
from pathlib import Path
from benchmarks.workload import open_workspace
from daydreaming_dagster.engine.cohort_run import plan_cohort_run, run_cohort
from daydreaming_dagster.engine.records import RunInfo
workspace = open_workspace(Path(sys.argv[1]))
cohort = workspace.require_current_cohort()
print("begins", flush=True)
run_cohort(workspace, cohort, plan_cohort_run(workspace, cohort), RunInfo("run", cohort.cohort_id))
"""


def start_run(root: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(root)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_until_killed(root: Path, server: OpenAIServer, answers: int) -> None:
    """Runs until the server has answered so often, then kills the process as hard as can be."""
    reached = threading.Event()

    def watch(index: int, body: object) -> None:
        if index >= answers:
            reached.set()

    server.find_fault = watch  # type: ignore[assignment]
    process = start_run(root)
    reached.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()
    server.find_fault = None


@pytest.mark.slow
def test_after_being_killed_at_many_points_every_answer_is_stored_or_told_as_unknown(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with serve_in_thread(OpenAIServer(latency_s=0.005)) as server:
        write_inputs(root, base_url=server.base_url, trees=TREES, max_concurrent=8)
        open_workspace(root).build_cohort()
        for answers in range(3, TREES * 3, 13):
            run_until_killed(root, server, server.received + answers % 40)
        workspace = open_workspace(root)
        cohort = workspace.require_current_cohort()
        plan = plan_cohort_run(workspace, cohort)
        run_cohort(workspace, cohort, plan, RunInfo("last", cohort.cohort_id))
        ledger = Ledger(workspace.paths)
        calls = [call for member in cohort.members for call in ledger.find_calls(member.gen_id)]
        ledger.close()
        answered = [call for call in calls if call.state == "answered"]
        unknown = [call for call in calls if call.state == "unknown"]
        assert len(answered) == TREES * 3, "no finished generation was called again"
        assert len({call.gen_id for call in answered}) == TREES * 3
        assert len(answered) <= server.answered <= len(answered) + len(unknown)
        assert all(workspace.store.find_parsed(member.stage, member.gen_id) for member in cohort.members)
        assert not list(workspace.paths.journal.iterdir())
        assert find_index_errors(workspace.store) == []
        for stage in Stage:
            assert not [path for path in workspace.paths.stage(stage).iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_two_processes_on_one_cohort_share_the_work_and_make_no_call_twice(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with serve_in_thread(OpenAIServer(latency_s=0.02)) as server:
        write_inputs(root, base_url=server.base_url, trees=TREES * 4, max_concurrent=8)
        open_workspace(root).build_cohort()
        processes = [start_run(root), start_run(root)]
        for process in processes:
            assert process.wait(120) == 0
            assert process.stdout is not None
            process.stdout.close()
        assert server.answered == TREES * 4 * 3
        assert server.peak_in_flight <= 8, "the pool's limit holds for both together"
        workspace = open_workspace(root)
        ledger = Ledger(workspace.paths)
        owners = {
            call.owner for m in workspace.require_current_cohort().members for call in ledger.find_calls(m.gen_id)
        }
        ledger.close()
        assert len(owners) == 2
