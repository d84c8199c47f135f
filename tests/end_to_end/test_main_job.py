"""The main job as a user runs it: a folder with inputs, one command, and what lies there afterwards."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.fakes.openai_server import OpenAIServer, serve_in_thread
from tests.fakes.scripted_root import make_scripted_directory, run_command

pytestmark = pytest.mark.slow

KEY = "sk-of-a-test"
DRAFTS, ESSAYS, EVALUATIONS = 30, 60, 360


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with serve_in_thread(OpenAIServer(api_key=KEY, latency_s=0.05)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: OpenAIServer) -> Path:
    row = f"openrouter,openai,{server.base_url},KEY_OF_A_TEST,"
    return make_scripted_directory(tmp_path, concepts=6, endpoint=row)


def test_a_cohort_of_the_shipped_inputs_is_completed_against_a_server_with_its_own_key(
    folder: Path, server: OpenAIServer
) -> None:
    first = run_command(folder, "daydreaming", "run", environ={"KEY_OF_A_TEST": KEY})
    assert first.returncode == 0, first.stdout + first.stderr
    scores = pl.read_csv(folder / "data/5_parsing/parsed_scores.csv")
    assert len(scores) == EVALUATIONS
    assert scores["error"].null_count() == EVALUATIONS
    assert scores["score"].is_between(0, 9).all()
    assert len(pl.read_csv(folder / "data/6_summary/generation_scores_pivot.csv")) == ESSAYS
    answered = server.answered
    assert answered == DRAFTS + ESSAYS + EVALUATIONS

    again = run_command(folder, "daydreaming", "run", environ={"KEY_OF_A_TEST": KEY})
    assert again.returncode == 0
    assert "no model was called" in again.stdout
    assert server.answered == answered


def test_a_killed_run_is_finished_without_repeating_what_was_stored(folder: Path, server: OpenAIServer) -> None:
    command = [str(Path(sys.executable).with_name("daydreaming")), "run"]
    environ = {"PATH": "/usr/bin:/bin", "DAGSTER_HOME": str(folder / "dagster_home"), "KEY_OF_A_TEST": KEY}
    running = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while server.answered < (DRAFTS + ESSAYS + EVALUATIONS) // 2:
            assert running.poll() is None
            time.sleep(0.02)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    stored = _read_call_ids(folder)
    assert stored
    finished = run_command(folder, "daydreaming", "run", environ=environ)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    now = _read_call_ids(folder)
    assert {path: now[path] for path in stored} == stored
    assert len(now) == DRAFTS + ESSAYS + EVALUATIONS
    status = json.loads(run_command(folder, "daydreaming", "status", "--json").stdout)
    assert status["complete"]


def test_a_missing_key_is_one_sentence_with_a_fix(folder: Path, server: OpenAIServer) -> None:
    ended = run_command(folder, "daydreaming", "run")
    assert ended.returncode != 0
    assert "KEY_OF_A_TEST is not set" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert server.answered == 0


def _read_call_ids(folder: Path) -> dict[str, str]:
    """Which call brought each stored response; half-made folders have names that begin with a dot."""
    found = folder.glob("data/gens/*/[dev]_*/raw_metadata.json")
    return {str(path): str(json.loads(path.read_text())["call_id"]) for path in found}
