"""The comparison with other tools: what the server counts, what adapters print, and what the table says."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.__main__ import ROOT, Scenario
from benchmarks.peers import work
from benchmarks.peers.__main__ import COMPARED, write_report
from benchmarks.peers.kill import Kill
from benchmarks.peers.runs import ANSWERS, PEERS, Run, measure, read_served
from benchmarks.server import BenchServer, write_text
from tests.fakes.openai_server import serve_in_thread

from daydreaming_dagster.utils.draft_parsers import parse_draft

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello."}]}


@pytest.fixture
def base_url() -> Iterator[str]:
    with serve_in_thread(BenchServer(text=write_text(5), keep_requests=False)) as server:
        yield server.base_url


def post(base_url: str, body: object) -> str:
    request = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        text: str = json.load(response)["choices"][0]["message"]["content"]
    return text


def build_run(system: str, cpu_ms: float, done_s: float = 20.0) -> Run:
    scenario = COMPARED[1]
    return Run(scenario.name, system, 1280, 1280, 1280, cpu_ms, 10.0, done_s, 80.0, 0.1, {})


def find_row(lines: list[str], *beginning: str) -> list[str]:
    start = "| " + " | ".join(beginning) + " |"
    (row,) = (line for line in lines if line.startswith(start))
    return [cell.strip() for cell in row.strip("|").split("|")][len(beginning) :]


def test_the_server_counts_answers_and_forgets_them_when_it_is_told_to(base_url: str) -> None:
    post(base_url, CHAT)
    with urllib.request.urlopen(f"{base_url}/served?anew"):
        post(base_url, CHAT)
        post(base_url, CHAT)
    served = read_served(base_url)
    assert (served["answered"], served["sent"]) == (2, 2)
    assert 0 < served["first_s"] <= served["last_s"]


def test_a_question_without_messages_is_refused_and_not_counted(base_url: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        post(base_url, {"model": "m", "messages": []})
    refusal.value.close()
    assert read_served(base_url)["answered"] == 0


def test_the_same_answer_suits_the_parser_of_every_stage() -> None:
    text = write_text(5)
    assert parse_draft("essay_block", text).strip() == "word word word word word"
    assert parse_draft("identity", text).endswith("SCORE: 7")


def test_an_adapter_warms_up_in_folders_of_its_own_and_the_server_forgets_that(
    base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def ask(base_url: str, prompts: list[str], in_flight: int, folder: Path) -> list[str | None]:
        asked.append((len(prompts), in_flight, folder.name))
        return [*(post(base_url, CHAT) for _ in prompts[1:]), None]

    monkeypatch.setattr(sys, "argv", ["", base_url, "5", "3", str(tmp_path), "2"])
    work.main(ask, "pytest")
    result = json.loads(capsys.readouterr().out)
    assert asked == [(2, 3, "first"), (2, 3, "second"), (5, 3, "work")]
    assert result["kept"] == 4
    assert result["versions"] == {"pytest": pytest.__version__}
    assert read_served(base_url)["answered"] == 4


def test_no_two_prompts_are_the_same() -> None:
    assert len(set(work.build_prompts(300))) == 300


def test_the_table_compares_with_the_floor_and_with_the_ideal_span() -> None:
    runs = [build_run("floor", 0.5), build_run("curator", 2.0, 11.0), build_run("curator", 4.0, 13.0)]
    cells = find_row(list(write_report(runs, [])), COMPARED[1].name, "curator")
    assert cells[:5] == ["3.00 (2.00-4.00)", "6.0 x", "1.00", "1.20", "107"]


def test_a_tool_that_is_not_installed_says_how_to_get_it(tmp_path: Path) -> None:
    cells = find_row(list(write_report([], [], tmp_path)), COMPARED[0].name, "distilabel")
    assert cells[0] == "not installed: make peers"


def test_a_killed_run_that_never_ends_again_is_told_and_not_counted_as_kept() -> None:
    kills = [Kill("distilabel", 320, None), Kill("curator", 300, 3), Kill("curator", 300, 0)]
    lines = list(write_report([], kills))
    assert find_row(lines, "curator")[:2] == ["3 of 600", "0.5%"]
    assert find_row(lines, "distilabel")[:2] == ["-; 1 of 1 second runs did not end", "-"]


def test_every_tool_has_an_adapter_and_a_pinned_list_of_what_to_install() -> None:
    place = ROOT / "benchmarks" / "peers"
    assert {path.stem for path in (place / "requirements").glob("*.txt")} == set(PEERS)
    for peer in PEERS:
        assert (place / f"{peer}.py").exists()
        assert "==" in (place / "requirements" / f"{peer}.txt").read_text().splitlines()[0]


@pytest.mark.slow
def test_a_run_of_the_engine_is_measured_from_outside(tmp_path: Path) -> None:
    run = measure("engine", Scenario("few", 0, 4, ANSWERS), 9, tmp_path)
    assert (run.answered, run.kept) == (9, 9)
    assert run.cpu_ms > 0
    assert 0 < run.asking_s <= run.done_s
