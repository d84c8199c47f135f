"""The operating guide's command lines as they are printed, run as processes from the root of a checkout."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import polars as pl
import pytest
from tests.fakes.scripted_root import REPOSITORY, make_scripted_directory, run_command

pytestmark = pytest.mark.slow

FILE = "-f src/daydreaming_dagster/definitions.py"
FIVE = "selected_combo_mappings,content_combinations,cohort_id,cohort_membership,register_cohort_partitions"
PAIR = "cohort_id,cohort_membership"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a fresh checkout to the commands: sources, inputs, nothing made yet."""
    (tmp_path / "src").symlink_to(REPOSITORY / "src")
    return make_scripted_directory(tmp_path, concepts=2)


def run_line(checkout: Path, line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_command(checkout, *shlex.split(line), environ=environ)


def require(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-6000:]
    return ended.stdout


def read_gen_ids(checkout: Path, stage: str) -> list[str]:
    membership = pl.read_csv(next(checkout.glob("data/cohorts/*/membership.csv")))
    return membership.filter(pl.col("stage") == stage)["gen_id"].to_list()


def test_the_five_cohort_assets_then_each_stage_by_partition_then_the_results(checkout: Path) -> None:
    require(run_line(checkout, f'dagster asset materialize {FILE} --select "{FIVE}"'))
    draft = read_gen_ids(checkout, "draft")[0]
    require(
        run_line(
            checkout,
            f'dagster asset materialize {FILE} --select "draft_prompt,draft_raw,draft_parsed" --partition "{draft}"',
        )
    )
    folder = checkout / "data/gens/draft" / draft
    written = {path.name for path in folder.iterdir()}
    assert written >= {"prompt.txt", "raw.txt", "raw_metadata.json", "parsed.txt", "parsed_metadata.json"}
    first = json.loads((folder / "raw_metadata.json").read_text())["call_id"]
    require(run_line(checkout, f'dagster asset materialize --select draft_raw --partition "{draft}" {FILE}'))
    assert json.loads((folder / "raw_metadata.json").read_text())["call_id"] == first, "the response was not reused"
    # Dagster refuses one partition for two partition sets; the same line works with the project's own command.
    lineage = (
        f'asset materialize {FILE} --select "group:generation_draft,group:generation_essays" --partition "{draft}"'
    )
    assert run_line(checkout, f"dagster {lineage}").returncode != 0
    require(run_line(checkout, lineage.replace("asset materialize", "daydreaming materialize", 1)))
    assert list(checkout.glob("data/gens/essay/*/parsed.txt"))


def test_the_pair_alone_works_on_a_fresh_clone_and_what_dagster_refuses_works_with_the_own_command(
    checkout: Path,
) -> None:
    require(run_line(checkout, f'dagster asset materialize {FILE} --select "{PAIR}"'))
    generation = f'asset materialize {FILE} --select "group:generation_draft,group:generation_essays"'
    assert run_line(checkout, f"dagster {generation}").returncode != 0
    require(run_line(checkout, generation.replace("asset materialize", "daydreaming materialize", 1)))
    require(run_line(checkout, f'daydreaming materialize {FILE} --select "group:evaluation" --tag experiment_id=exp_1'))
    require(
        run_line(
            checkout, f'dagster asset materialize {FILE} --select "group:results_processing,group:results_summary"'
        )
    )
    scores = pl.read_csv(checkout / "data/5_parsing/parsed_scores.csv")
    assert len(scores) == len(read_gen_ids(checkout, "evaluation"))
    assert scores["error"].null_count() == len(scores)
    assert set(scores["experiment_id"]) == {"exp_1"}


def test_the_cohort_assets_work_with_a_process_per_step(checkout: Path) -> None:
    line = f'dagster asset materialize {FILE} --select "{FIVE}"'
    require(run_line(checkout, line, DD_EXECUTOR="multiprocess"))
    assert read_gen_ids(checkout, "evaluation")


def test_a_generation_that_is_in_no_cohort_fails_with_the_command_that_mends_it(checkout: Path) -> None:
    require(run_line(checkout, f'dagster asset materialize {FILE} --select "{PAIR}"'))
    essay = read_gen_ids(checkout, "essay")[0]
    ended = run_line(checkout, f'dagster asset materialize {FILE} --select essay_prompt --partition "{essay}"')
    assert ended.returncode != 0
    told = ended.stdout + ended.stderr
    assert f"Missing parent draft parsed.txt for essay gen_id '{essay}'" in told
    assert "Expected path: data/gens/draft/" in told
    assert "daydreaming materialize --select" in told


def test_the_development_server_starts_and_answers(checkout: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    executable = Path(sys.executable).with_name("dagster")
    command = [str(executable), "dev", *shlex.split(FILE), "--port", str(port)]
    environ = {"PATH": f"{executable.parent}:/usr/bin:/bin", "DAGSTER_HOME": str(checkout / "dagster_home")}
    with (checkout / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=checkout, env=environ, stdout=log, stderr=log)
        try:
            assert _wait_for(f"http://127.0.0.1:{port}/server_info", server), (checkout / "log").read_text()
        finally:
            server.terminate()
            server.wait(timeout=120)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> bool:
    for _ in range(240):
        if server.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(1)
    return False
