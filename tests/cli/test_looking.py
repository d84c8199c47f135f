"""`status`, `show`, `doctor`, `init`, `check`, `purge` and the tables: what they print and how they end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.cli.test_command_line import end
from tests.experiments.rated_root import RatedRoot, essays, evaluations, score
from tests.fakes.openai_server import OpenAIServer, serve_in_thread

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.raw_inputs import read_catalogue

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RatedRoot:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("DD_COHORT", raising=False)
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    return RatedRoot(tmp_path)


@pytest.fixture
def members(root: RatedRoot) -> list[Member]:
    """All made, but one evaluation that gave no score and one that got no answer."""
    planned = evaluations(list(root.build("mine").members))
    answers = {planned[0].gen_id: "I cannot say.", planned[1].gen_id: None}
    return root.run(lambda member: answers.get(member.gen_id, score(5)), cohort="mine")


def test_a_store_that_cannot_be_written_to_is_looked_at_all_the_same(
    members: list[Member], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    capsys.readouterr()
    assert end("status") == 3
    assert end("show", essays(members)[0].gen_id) == 0
    assert end("why", essays(members)[0].gen_id) == 0
    assert end("plan", "--offline") == 0
    assert end("budget") == 0
    told = capsys.readouterr()
    assert told.err.splitlines() == ["data cannot be written to: it is read, and nothing is remembered."] * 5
    assert not (Path("data") / ".daydreaming" / "ledger.sqlite").exists()
    assert essays(members)[0].gen_id in told.out


def test_status_counts_by_stage_and_tells_reasons_and_what_to_do(members: list[Member], capsys: Capture) -> None:
    assert end("status") == 3
    told = capsys.readouterr().out
    assert "1 evaluation failed: parse_failed" in told
    assert "1 evaluation failed: timeout" in told
    assert evaluations(members)[0].gen_id in told
    assert "daydreaming run --retry parse_failed" in told


def test_status_can_be_read_by_a_program(members: list[Member], capsys: Capture) -> None:
    assert end("status", "--json") == 3
    value = json.loads(capsys.readouterr().out)
    assert value["complete"] is False
    assert value["stages"]["draft"] == {"all": 3, "done": 3, "failures": {}}
    assert value["stages"]["evaluation"]["failures"] == {"parse_failed": 1, "timeout": 1}
    assert {row["gen_id"] for row in value["failed"]} == {m.gen_id for m in evaluations(members)[:2]}


def test_status_lists_every_id_with_its_parent(members: list[Member], capsys: Capture) -> None:
    end("status", "--ids")
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[1], row[2]) for row in rows] == [(str(m.stage), m.gen_id, m.parent_gen_id) for m in members]


def damage(cohort_id: str, name: str = "manifest.json") -> Path:
    path = Path("data") / "cohorts" / cohort_id / name
    path.write_text("{")
    return path


@pytest.mark.parametrize("name", ["manifest.json", "membership.csv"])
def test_a_damaged_cohort_is_named_and_the_one_built_before_it_is_shown(
    root: RatedRoot, name: str, capsys: Capture
) -> None:
    made = root.run(lambda _: score(5), cohort="older")
    root.build("newer")
    path = damage("newer", name)
    for words in (["status"], ["status", "--ids"], ["status", "--json"], ["why", made[0].gen_id]):
        capsys.readouterr()
        assert end(*words) == 1
        told = capsys.readouterr()
        assert ("older" in told.out) or (made[0].gen_id in told.out)
        assert told.err.count(f"Error: {path}") == 1
        assert "Rebuild the cohort: " in told.err or "rebuild the cohort: " in told.err
    assert end("why", made[0].gen_id, made[1].gen_id) == 1
    assert "They part ways at: combo_id" in capsys.readouterr().out


def test_a_damaged_cohort_that_is_named_is_an_error_and_no_other_is_shown(root: RatedRoot, capsys: Capture) -> None:
    made = root.run(lambda _: score(5), cohort="older")
    root.build("newer")
    path = damage("newer")
    capsys.readouterr()
    assert end("status", "--cohort", "newer") == 1
    told = capsys.readouterr()
    assert (told.out, told.err.count(str(path))) == ("", 1)
    assert end("status", "--cohort", "older") == 0
    path.unlink()  # as the error says
    assert end("status", "--cohort", "newer") == 0
    assert end("why", made[0].gen_id) == 0


def test_damaged_cohorts_alone_are_each_named_once(root: RatedRoot, capsys: Capture) -> None:
    root.build("older")
    root.build("newer")
    paths = [damage(cohort_id) for cohort_id in ("older", "newer")]
    capsys.readouterr()
    assert end("status") == 1
    told = capsys.readouterr()
    assert (told.out, [told.err.count(str(path)) for path in paths]) == ("", [1, 1])
    assert end("why", "e_nobody") == 1
    told = capsys.readouterr()
    assert [told.err.count(str(path)) for path in paths] == [1, 1]
    assert "not found in the membership of any cohort" in told.err


@pytest.mark.parametrize("named", [None, ""])
def test_status_of_a_complete_cohort_is_zero(
    root: RatedRoot, named: str | None, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    root.run(lambda _: score(5))
    if named is not None:
        monkeypatch.setenv("DD_COHORT", named)
    assert end("status") == 0
    assert "Everything is done." in capsys.readouterr().out


def test_show_tells_lineage_up_and_down_texts_and_scores(members: list[Member], capsys: Capture) -> None:
    essay = next(m for m in essays(members) if m.gen_id == evaluations(members)[-1].parent_gen_id)
    main_show(essay.gen_id)
    told = capsys.readouterr().out
    assert essay.parent_gen_id in told
    assert all(m.gen_id in told for m in evaluations(members) if m.parent_gen_id == essay.gen_id)
    assert "5.0" in told
    assert "An essay about keeping watch." in told
    assert "cost $0.001000" in told


@pytest.mark.parametrize(("option", "text"), [("--prompt", "A prompt.\n"), ("--parsed", "5.0\n")])
def test_show_prints_one_text_and_nothing_else(members: list[Member], option: str, text: str, capsys: Capture) -> None:
    main_show(evaluations(members)[-1].gen_id, option)
    assert capsys.readouterr().out == text


def test_show_of_a_text_that_is_not_there_says_how_to_make_it(members: list[Member], capsys: Capture) -> None:
    failed = evaluations(members)[0].gen_id
    assert end("show", failed, "--parsed") == 1
    assert f"daydreaming materialize --select evaluation_parsed --partition {failed}" in capsys.readouterr().err


@pytest.mark.parametrize("gen_id", ["e_nobody", "nonsense", "../../etc/passwd", "e_../../x"])
def test_show_of_something_unknown_says_where_ids_are_listed(
    members: list[Member], gen_id: str, capsys: Capture
) -> None:
    assert end("show", gen_id) == 1
    assert "daydreaming status --ids" in capsys.readouterr().err


def test_doctor_names_the_missing_key_and_ends_with_one(root: RatedRoot, capsys: Capture) -> None:
    assert end("doctor") == 1
    told = capsys.readouterr().out
    assert "OPENROUTER_API_KEY is not set" in told
    assert 'export OPENROUTER_API_KEY="your key"' in told


def ask_server(root: RatedRoot, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    row = f"openrouter,openai,{server.base_url},OPENROUTER_API_KEY,"
    root.write(root.paths.endpoints_csv, f"endpoint,kind,base_url,api_key_env,extra_body\n{row}\n")
    monkeypatch.setenv("OPENROUTER_API_KEY", key)


def test_doctor_asks_the_server_whether_it_accepts_the_key_and_what_is_left(
    root: RatedRoot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with serve_in_thread(OpenAIServer(api_key="sk-of-a-test")) as server:
        ask_server(root, server, monkeypatch, "sk-of-a-test")
        assert end("doctor") == 0
        told = capsys.readouterr().out
        assert "the server accepts it, $4.50 of $5.00 left to spend" in told
        assert "sk-of-a-test" not in told
        assert server.received == 0, "no model is called"


def test_doctor_tells_a_key_that_the_server_refuses_without_showing_it(
    root: RatedRoot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with serve_in_thread(OpenAIServer(api_key="sk-right")) as server:
        ask_server(root, server, monkeypatch, "sk-wrong")
        assert end("doctor") == 1
        told = capsys.readouterr().out
        assert "(unauthorized)" in told
        assert "Put a valid key into OPENROUTER_API_KEY" in told
        assert "sk-wrong" not in told
        assert end("doctor", "--offline") == 0
        assert "OPENROUTER_API_KEY is set" in capsys.readouterr().out


def test_doctor_is_content_with_a_server_that_keeps_no_records_of_keys(
    root: RatedRoot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with serve_in_thread(OpenAIServer(tells_key=False)) as server:
        ask_server(root, server, monkeypatch, "sk-of-a-test")
        assert end("doctor") == 0
        assert "the server accepts it (for" in capsys.readouterr().out


def test_doctor_says_when_nobody_listens_at_the_endpoint(
    root: RatedRoot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with serve_in_thread(OpenAIServer()) as server:
        ask_server(root, server, monkeypatch, "sk-of-a-test")
    assert end("doctor") == 1
    assert "cannot be reached" in capsys.readouterr().out


def test_plan_sets_what_is_left_beside_what_it_would_take_and_offline_asks_nobody(
    root: RatedRoot, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    models = root.paths.models_csv.read_text().replace("maker/writer", "maker/writer:free")
    root.write(root.paths.models_csv, models)
    with serve_in_thread(OpenAIServer(free_per_day=2, free_used=1, credit_usd=0.0)) as server:
        ask_server(root, server, monkeypatch, "sk-of-a-test")
        assert end("plan") == 0
        told = capsys.readouterr().out
        assert "$0.00 of $5.00 left to spend, 1 of 2 requests to free models left today, more of them" in told
        assert "Pool llm_api_free: 1 of 2 requests left today, as the provider says; this would send about 6." in told
        assert "The rest follows when the run is started again after 00:00 UTC" in told
        assert end("plan", "--offline", "--json") == 0
        assert json.loads(capsys.readouterr().out)["days"]["llm_api_free"]["left"] == 50
        assert (server.received, server.key_asked) == (0, 1)


def test_doctor_shows_mistakes_in_the_inputs(root: RatedRoot, capsys: Capture) -> None:
    root.write(root.paths.concepts_csv, "concept_id,name,active\na,A,perhaps\n")
    assert end("doctor") == 1
    assert "concepts_metadata.csv:2, column active" in capsys.readouterr().out


def test_doctor_without_inputs_says_how_to_get_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "empty")
    assert end("doctor") == 1
    assert "daydreaming init" in capsys.readouterr().out


def test_init_fills_a_folder_with_inputs_that_can_be_read_and_leaves_what_is_there(
    root: RatedRoot, tmp_path: Path, capsys: Capture
) -> None:
    mine = tmp_path / "new" / "1_raw" / "replication_config.csv"
    mine.parent.mkdir(parents=True)
    mine.write_text("stage,replicates\ndraft,3\nessay,1\nevaluation,1\n")
    main_quietly("init", "new")
    catalogue = read_catalogue(type(root.paths)(tmp_path / "new"))
    assert len(catalogue.concepts) >= 18
    assert catalogue.replicates[Stage.DRAFT] == 3
    main_quietly("init", "new")
    assert "complete already" in capsys.readouterr().out


def test_check_passes_and_fails(members: list[Member], root: RatedRoot, capsys: Capture) -> None:
    assert end("check") == 0
    assert "2 evaluations of mine still to be made" in capsys.readouterr().out
    draft = root.paths.generation(Stage.DRAFT, members[0].gen_id)
    (draft / "parsed.txt").unlink()
    assert end("check", "--json") == 1
    results = {result["name"]: result for result in json.loads(capsys.readouterr().out)}
    assert len(results["parents"]["culprits"]) == 1


def test_purge_only_looks_unless_it_is_told_to(members: list[Member], root: RatedRoot, capsys: Capture) -> None:
    main_quietly("purge", "mine")
    assert "Nothing was removed." in capsys.readouterr().out
    assert root.paths.cohort("mine").exists()


def test_tables_of_the_store_with_and_without_writing(members: list[Member], root: RatedRoot, capsys: Capture) -> None:
    main_quietly("aggregate-scores", "--dry-run")
    assert "6 evaluations, 2 without a score would go to" in capsys.readouterr().out
    assert not root.paths.cross_experiment.exists()
    main_quietly("aggregate-scores", "--output", "mine/scores.csv")
    main_quietly("build-pivot-tables", "--parsed-scores", "mine/scores.csv", "--dry-run")
    assert not root.paths.cross_experiment.exists()
    main_quietly("build-pivot-tables", "--parsed-scores", "mine/scores.csv")
    assert {path.name for path in root.paths.cross_experiment.glob("*.csv")} == {
        "filtered_evaluation_results.csv",
        "template_version_comparison_pivot.csv",
        "evaluation_scores_by_template_model.csv",
    }


def test_the_best_essays_are_listed_before_they_are_written(
    members: list[Member], root: RatedRoot, capsys: Capture
) -> None:
    main_quietly("aggregate-scores")
    main_quietly("select-top", "--top-n", "1", "--prior-art-templates", "novelty", "--dry-run")
    assert capsys.readouterr().out.count("\ne_") == 1
    assert not root.paths.selected_essays.exists()
    main_quietly("select-top", "--top-n", "1", "--prior-art-templates", "novelty")
    assert root.paths.selected_essays.read_text().count("\ne_") == 1


def main_quietly(*words: str) -> None:
    assert end(*words) == 0


def main_show(*words: str) -> None:
    main_quietly("show", *words)
