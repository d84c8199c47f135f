"""Every command line of the guide this system was written for, run as `docs/guide_commands.md` says it works here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fakes.scripted_root import REPOSITORY
from tests.guide.shell import GuideShell

TABLE = REPOSITORY / "docs" / "guide_commands.md"
PAIR = 'dagster asset materialize --select "cohort_id,cohort_membership" -f src/daydreaming_dagster/definitions.py'

RUN_ELSEWHERE = {
    "uv run dagster dev -f src/daydreaming_dagster/definitions.py": "a server; see tests/guide/servers.py",
    "htop": "waits for keys; so does top",
}


@dataclass(frozen=True)
class Row:
    printed: str
    here: str
    known_from: str


def read_rows() -> list[Row]:
    rows = []
    for line in TABLE.read_text().splitlines():
        if not line.startswith("| `"):
            continue
        printed, here, known_from = re.split(r"(?<!\\) \| ", line.strip("| "))
        command = printed.strip("`").replace("\\|", "|")
        spans = re.findall(r"`(.*?)`", here.replace("\\|", "|"))
        rows.append(Row(command, spans[0] if spans and not here.startswith("as printed") else command, known_from))
    return rows


def test_every_row_names_a_test_that_exists() -> None:
    rows = read_rows()
    assert len(rows) >= 50
    for row in rows:
        named = re.findall(r"(?:tests/[\w/]+(?:\.py)?|\.ci/run)", row.known_from)
        assert named, row
        assert all((REPOSITORY / name).exists() for name in named), row


def fill_in(command: str, shell: GuideShell) -> str:
    """The command with ids in place of its placeholders, in quotes as the guide asks for."""
    draft, essay, evaluation = (shell.gen_ids(stage)[0] for stage in ("draft", "essay", "evaluation"))
    for placeholder, gen_id in {
        "TASK_ID": draft,
        "<DRAFT_GEN_ID>": draft,
        "<ESSAY_GEN_ID>": essay,
        "<evaluation_gen_id>": evaluation,
        "<parent_gen_id>": essay,
        "<essay_gen_id>": essay,
        "<id>": essay,
        "<cohort_id>": next(shell.folder.glob("data/cohorts/*")).name,
    }.items():
        command = command.replace(placeholder, gen_id)
    return command


def normalize(command: str) -> str:
    """Lines that differ in the order of their options only are the same command."""
    words = re.findall(r"--?[\w-]+(?: (?:\"[^\"]*\"|[^\s-][^\s]*))?|\S+", command.replace('"', ""))
    return " ".join(sorted(words))


@pytest.mark.slow
def test_every_command_line_works_as_the_table_says(tmp_path: Path) -> None:
    shell = GuideShell(tmp_path / "checkout")
    shell.require(PAIR)
    said: dict[str, str] = {}
    for row in read_rows():
        if row.printed in RUN_ELSEWHERE:
            continue
        command = fill_in(row.here, shell)
        if "scripts/select_top_prior_art.py" in command:
            shell.require("daydreaming run --quiet && python scripts/aggregate_scores.py")
        if (key := normalize(command)) not in said:
            said[key] = shell.require(command)
        output = said[key]
        if "scripts/select_top_prior_art.py" in command:
            # The selection is looked at by the tests of curated cohorts; here the whole cube goes on.
            assert (shell.folder / "data/2_tasks/selected_essays.txt").read_text().count("\ne_") == 4
            shell.require("rm data/2_tasks/selected_essays.txt")
        if command.startswith("rm -rf data/cohorts"):
            shell.require(PAIR)  # the guide says so two lines later
        if command.startswith("rm -rf data/gens"):
            assert not list(shell.folder.glob("data/gens/*/*"))
            said.clear()  # nothing is made any more, so every line has to make it again
        check_what_it_said(command, output, shell)


def check_what_it_said(command: str, output: str, shell: GuideShell) -> None:
    """Commands that look at something have to show it."""
    evaluation = shell.gen_ids("evaluation")[0]
    if command.startswith(('awk -F, -v id="$EVAL"', f'grep ",{evaluation},')):
        assert evaluation in output
    if "asset_map.py" in command:
        line = next(line for line in output.splitlines() if line.startswith("essay_raw | generation_essays | "))
        assert "src/daydreaming_dagster/assets/group_essay.py:" in line
    if "--dry-run" in command:
        assert "evaluation_prompt" in output
    if "wc -l" in command:
        assert int(output) == 1 + len(shell.gen_ids("evaluation"))
    if command.startswith("grep -n"):
        assert "group_" in output
