"""A cohort whose judge is asked by batches, through the command line, also when the run is killed in between."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.fakes.openai_server import OpenAIServer, serve_in_thread
from tests.fakes.scripted_root import make_scripted_directory, run_command

from daydreaming_dagster.store.ledger import Ledger
from daydreaming_dagster.store.paths import DataPaths

pytestmark = pytest.mark.slow

EVALUATIONS = 12
_WAIT_S = 120


def make_directory(folder: Path, server: OpenAIServer) -> Path:
    """A writer at the usual endpoint and a judge at the batch endpoint, with the rows of the operating guide."""
    make_scripted_directory(folder, concepts=2, endpoint=f"openrouter,openai,{server.base_url},,")
    raw = folder / "data" / "1_raw"
    with (raw / "llm_endpoints.csv").open("a") as file:
        file.write(f"openrouter-batch,openrouter_batch,{server.base_url},,\n")
    with (raw / "llm_pools.csv").open("a") as file:
        file.write("llm_batch,5000,,,\n")
    with (raw / "llm_models.csv").open(newline="") as file:
        columns = list(csv.DictReader(file).fieldnames or ())
    row = {"provider": "maker", "display_name": "x", "for_generation": "false", "for_evaluation": "false"}
    writer = {**row, "id": "writer", "model": "maker/writer", "for_generation": "true"}
    judge = {**row, "id": "judge", "model": "maker/judge", "for_evaluation": "true"}
    with (raw / "llm_models.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows([writer, {**judge, "endpoint": "openrouter-batch", "pool": "llm_batch"}])
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("daydreaming")), "run", "--quiet"]
    environ = {**os.environ, "DAGSTER_HOME": str(folder / "dagster_home")}
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)


def test_a_killed_run_leaves_its_batch_with_the_provider_and_the_next_one_takes_the_answers(tmp_path: Path) -> None:
    with serve_in_thread(OpenAIServer(batch_looks=10**6)) as server:
        folder = make_directory(tmp_path, server)
        process = start(folder)
        noted = DataPaths(folder / "data").provider_batches
        began = time.monotonic()
        while not list(noted.glob("*.json")):
            assert process.poll() is None and time.monotonic() - began < _WAIT_S, (folder / "log").read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.batch_looks = 1
        ended = run_command(folder, "daydreaming", "run")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert [len(rows) for rows in server.batches.values()] == [EVALUATIONS], "nothing was handed in twice"
        assert "Unknown spend" not in ended.stdout
        ledger = Ledger(DataPaths(folder / "data"))
        answered = next(row for row in ledger.summarize() if row.state == "answered")
        ledger.close()
        assert answered.calls == server.answered
        assert list(noted.glob("*.json")) == []
