"""`daydreaming materialize`: the options of Dagster's command, and what that one refuses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from dagster import DagsterInstance
from tests.cli.test_command_line import end
from tests.experiments.rated_root import RatedRoot
from tests.fakes.data_root import write_rows

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.paths import PARSED, PROMPT, RAW

pytestmark = [
    pytest.mark.filterwarnings("ignore:Property `OpDefinition.version`:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Parameter `include_sources`"),
]

Capture = pytest.CaptureFixture[str]
PAIR = "cohort_id,cohort_membership"
EVERYTHING = "group:generation_draft,group:generation_essays,group:evaluation"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RatedRoot:
    """Three drafts, three essays and six evaluations are to be made, by a script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    for name in ("DD_COHORT", "DD_K_MAX", "DD_DRAFT_MIN_LINES"):
        monkeypatch.delenv(name, raising=False)
    root = RatedRoot(tmp_path)
    row = {"endpoint": "openrouter", "kind": "scripted", "base_url": "", "api_key_env": "", "extra_body": ""}
    write_rows(root.paths.endpoints_csv, [row])
    return root


def materialize(*words: str) -> int:
    return end("materialize", *words)


def stored(root: RatedRoot, stage: Stage, name: str) -> set[str]:
    return {path.parent.name for path in root.paths.stage(stage).glob(f"*/{name}")}


def gen_ids(root: RatedRoot, stage: Stage) -> list[str]:
    return [m.gen_id for m in root.workspace().require_current_cohort().members if m.stage is stage]


def test_without_a_partition_everything_that_is_not_done_is_made_once(root: RatedRoot, capsys: Capture) -> None:
    assert materialize("--select", PAIR) == 0
    assert materialize("--select", EVERYTHING, "-f", "src/daydreaming_dagster/definitions.py") == 0
    for stage in Stage:
        assert stored(root, stage, PARSED) == set(gen_ids(root, stage))
    capsys.readouterr()
    assert materialize("--select", EVERYTHING) == 0
    assert "no model was called" in capsys.readouterr().out


def test_cohort_generations_and_results_in_one_command(root: RatedRoot, capsys: Capture) -> None:
    assert materialize("--select", f"{PAIR},{EVERYTHING},parsed_scores") == 0
    assert (root.paths.parsing / "parsed_scores.csv").read_text().count("\n") == 7
    told = capsys.readouterr().out
    assert told.index("Materialized cohort_id") < told.index("Made 3 drafts") < told.index("Materialized parsed_scores")


def test_one_step_of_one_stage(root: RatedRoot, capsys: Capture) -> None:
    materialize("--select", PAIR)
    assert materialize("--select", "draft_prompt,essay_prompt") == 3
    told = capsys.readouterr().out
    assert "Wrote the prompts of 3 drafts and essays." in told
    assert "3 drafts and essays wait for their parent's text." in told
    assert stored(root, Stage.DRAFT, PROMPT)
    assert not stored(root, Stage.DRAFT, RAW)
    assert materialize("--select", "draft_parsed") == 0
    assert "Nothing to do for drafts." in capsys.readouterr().out


def test_a_partition_of_a_selection_that_spans_stages_is_its_lineage(root: RatedRoot) -> None:
    materialize("--select", PAIR)
    judged = gen_ids(root, Stage.EVALUATION)[0]
    assert materialize("--select", EVERYTHING, "--partition", judged) == 0
    assert {stage: len(stored(root, stage, PARSED)) for stage in Stage} == dict.fromkeys(Stage, 1)
    draft = gen_ids(root, Stage.DRAFT)[1]
    assert materialize("--select", "group:generation_draft,group:generation_essays", "--partition", draft) == 0
    assert {stage: len(stored(root, stage, PARSED)) for stage in Stage} == {
        Stage.DRAFT: 2,
        Stage.ESSAY: 2,
        Stage.EVALUATION: 1,
    }


def test_a_partition_and_a_range_of_one_stage(root: RatedRoot) -> None:
    materialize("--select", PAIR)
    drafts = gen_ids(root, Stage.DRAFT)
    assert materialize("--select", "group:generation_draft", "--partition", drafts[2]) == 0
    assert stored(root, Stage.DRAFT, PARSED) == {drafts[2]}
    assert materialize("--select", "group:generation_draft", "--partition-range", f"{drafts[0]}...{drafts[1]}") == 0
    assert stored(root, Stage.DRAFT, PARSED) == set(drafts)


def test_tags_are_on_the_runs_and_the_experiment_is_in_the_metadata(root: RatedRoot, tmp_path: Path) -> None:
    assert materialize("--select", f"{PAIR},group:generation_draft", "--tag", "experiment_id=e1", "--tag", "a=b") == 0
    metadata = root.store.find_metadata(Stage.DRAFT, gen_ids(root, Stage.DRAFT)[0])
    assert metadata is not None
    assert metadata.experiment_id == "e1"
    with DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert all(run.tags.get("a") == "b" for run in instance.get_runs())


def test_run_config_by_file_and_by_json(root: RatedRoot, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("ops: {cohort_id: {config: {override: from-file}}}\n")
    assert materialize("--select", PAIR, "-c", "one.yaml") == 0
    settings = '{"resources": {"experiment_config": {"config": {"k_max": 3}}}}'
    assert materialize("--select", PAIR, "-c", "one.yaml", "--config-json", settings) == 0
    assert len(gen_ids(root, Stage.DRAFT)) == 1
    assert [folder.name for folder in root.paths.cohorts.iterdir()] == ["from-file"]


def test_what_failed_is_three_and_an_error_is_one(
    root: RatedRoot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert materialize("--select", "group:generation_draft") == 1
    assert "There is no cohort" in capsys.readouterr().err
    monkeypatch.setenv("DD_DRAFT_MIN_LINES", "1000")
    materialize("--select", PAIR)
    assert materialize("--select", "group:generation_draft,group:generation_essays") == 3
    told = capsys.readouterr()
    assert "3 drafts failed: too_short" in told.out
    assert "--retry too_short" in told.err + told.out
    assert materialize("--select", "group:generation_draft", "--retry", "too_short") == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--select", "nonsense"], "--select 'nonsense'"),
        (["--select", "group:nothing"], "selects nothing"),
        (["--select", "concepts"], "selects nothing"),
        (["--select", "cohort_id", "--partition", "d_1"], "none of the selected assets has partitions"),
        (["--select", "draft_raw", "--partition", "nonsense"], "'nonsense' is no gen_id"),
        (["--select", "draft_raw", "--partition", "d_1", "--partition-range", "d_1...d_2"], "exclude each other"),
        (["--select", "draft_raw", "--partition-range", "d_1"], "FROM...TO"),
        (["--select", "essay_raw", "--partition-range", "d_1...d_2"], "FROM...TO"),
        (["--select", "cohort_id", "--tag", "experiment"], "is not KEY=VALUE"),
        (["--select", "cohort_id", "-c", "missing.yaml"], "missing.yaml cannot be read"),
        (["--select", "cohort_id", "--config-json", "[]"], "holds no mapping"),
        (
            ["--select", "cohort_id", "--config-json", '{"ops": {"cohort_id": {"config": {"name": "x"}}}}'],
            'Received unexpected config entry "name"',
        ),
        (
            ["--select", "cohort_id", "--config-json", '{"resources": {"experiment_config": {"config": {"k": 1}}}}'],
            "experiment_config",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_two(root: RatedRoot, words: list[str], told: str, capsys: Capture) -> None:
    assert materialize(*words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "→" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("select", [EVERYTHING, "draft_prompt"])
def test_a_generation_of_no_cohort_is_refused(root: RatedRoot, select: str, capsys: Capture) -> None:
    materialize("--select", PAIR)
    assert materialize("--select", select, "--partition", "d_nobody") == 1
    told = capsys.readouterr().err
    assert "'d_nobody' not found in the membership of any cohort" in told
    assert "daydreaming status --ids" in told


def test_a_partition_that_a_new_home_does_not_know_is_registered(root: RatedRoot, tmp_path: Path) -> None:
    materialize("--select", PAIR)
    first, second, third = gen_ids(root, Stage.DRAFT)
    shutil.rmtree(tmp_path / "home")
    assert materialize("--select", "draft_prompt", "--partition", second) == 0
    shutil.rmtree(tmp_path / "home")
    assert materialize("--select", "draft_prompt", "--partition-range", f"{first}...{third}") == 0
    assert stored(root, Stage.DRAFT, PROMPT) == {first, second, third}


def test_a_dry_run_tells_order_counts_estimates_and_what_is_missing_and_leaves_no_trace(
    root: RatedRoot, tmp_path: Path, capsys: Capture
) -> None:
    before = snapshot(tmp_path)
    words = ["--select", f"{PAIR},group:generation_draft,essay_prompt,parsed_scores", "--dry-run"]
    assert materialize(*words) == 0
    told = capsys.readouterr().out
    assert "3 drafts, 3 essays, 6 evaluations" in told
    assert told.index("1. Cohort") < told.index("2. Generations: draft_prompt, draft_raw, draft_parsed")
    assert told.index("3. Generations: essay_prompt") < told.index("4. Tables: parsed_scores")
    assert "3 calls" in told
    assert "3 follow, as their parents succeed" in told
    assert snapshot(tmp_path) == before


def test_a_dry_run_of_a_store_in_use_leaves_no_trace_either(root: RatedRoot, tmp_path: Path, capsys: Capture) -> None:
    materialize("--select", f"{PAIR},group:generation_draft")
    capsys.readouterr()
    before = snapshot(tmp_path)
    assert materialize("--select", EVERYTHING, "--dry-run") == 0
    assert "9 calls" in capsys.readouterr().out
    assert snapshot(tmp_path) == before


def test_a_dry_run_without_a_key_names_what_is_missing(
    root: RatedRoot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    root.paths.endpoints_csv.unlink()
    assert materialize("--select", f"{PAIR},draft_prompt,draft_raw", "--dry-run") == 0
    assert "OPENROUTER_API_KEY is not set" in capsys.readouterr().out


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with time and size; folders may be touched, for SQLite locks a file by one beside it."""
    found = {}
    for place, _, names in os.walk(folder):
        found[place] = (0, 0)
        for name in names:
            stat = Path(place, name).stat()
            found[f"{place}/{name}"] = (stat.st_mtime_ns, stat.st_size)
    return found
