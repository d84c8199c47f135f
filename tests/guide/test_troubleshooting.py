"""What the guide says about trouble: each case is made as it describes, told in its words, and mended by its steps."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import dagster
import pytest
from dagster import AssetKey, DagsterInstance
from tests.domain.error_texts import read_texts
from tests.fakes.scripted_root import REPOSITORY
from tests.guide.documents import BROKEN_FIRST, read_blocks, split_commands
from tests.guide.shell import GuideShell

from daydreaming_dagster.domain.stages import STEPS, Stage

DOCUMENT = REPOSITORY / "docs" / "troubleshooting.md"
FILE = "-f src/daydreaming_dagster/definitions.py"
PAIR = f'dagster asset materialize {FILE} --select "cohort_id,cohort_membership"'


def read_section(heading: str) -> Iterator[str]:
    """The commands of a section."""
    blocks = [block for block in read_blocks(DOCUMENT) if block.heading == heading and block.language == "bash"]
    assert blocks, heading
    for block in blocks:
        yield from split_commands(block.text)


def follow(shell: GuideShell, heading: str, **names: str) -> str:
    """Runs the commands of a section with real ids; each has to work. Returns what they printed."""
    said = []
    for command in read_section(heading):
        yours = re.fullmatch(r"([A-Z]+)=\S+ +# yours", command)
        said.append(shell.require(f"{yours[1]}={names[yours[1]]}" if yours else command))
    return "\n".join(said)


def ask(shell: GuideShell, asset: str, gen_id: str) -> str:
    """What stock Dagster tells who materializes a generation that cannot be made."""
    ended = shell.run(f'dagster asset materialize {FILE} --select {asset} --partition "{gen_id}"')
    assert ended.returncode != 0
    return ended.stdout + ended.stderr


def find_row(shell: GuideShell, gen_id: str) -> tuple[Path, list[str]]:
    """Which membership has a generation, and its cells."""
    for path in shell.folder.glob("data/cohorts/*/membership.csv"):
        for line in path.read_text().splitlines():
            if line.split(",")[1] == gen_id:
                return path, line.split(",")
    raise AssertionError(f"{gen_id} is in no cohort")


def read_call_ids(shell: GuideShell) -> dict[str, str]:
    """Which call brought each response."""
    found = shell.folder.glob("data/gens/*/*/raw_metadata.json")
    return {path.parent.name: json.loads(path.read_text())["call_id"] for path in found}


def remove(path: Path) -> None:
    path.rename(path.parents[3] / f"removed-{path.name}")


def test_every_section_that_is_tried_here_is_in_the_document() -> None:
    headings = {block.heading for block in read_blocks(DOCUMENT)}
    assert set(BROKEN_FIRST) <= headings


@pytest.mark.slow
def test_case_1_a_missing_parent(shell: GuideShell) -> None:
    judged = shell.gen_ids("evaluation")[0]
    essay = find_row(shell, judged)[1][3]
    draft = find_row(shell, essay)[1][3]
    before = read_call_ids(shell)
    remove(shell.folder / "data/gens/essay" / essay)
    told = ask(shell, "evaluation_prompt", judged)
    assert (
        f"Missing parent essay parsed.txt for evaluation gen_id '{judged}' (parent_gen_id '{essay}').\n"
        "  Base directory exists: False\n"
        f"  Expected path: data/gens/essay/{essay}/parsed.txt\n"
        "  → "
    ) in told
    said = follow(shell, "1. Missing parent", EVAL=judged)
    assert f"evaluation,{judged},{find_row(shell, judged)[0].parent.name},{essay}," in said
    assert "there is nothing of it" in said
    after = read_call_ids(shell)
    assert {gen_id for gen_id in before if before[gen_id] != after[gen_id]} == {essay}
    assert (shell.folder / "data/gens/draft" / draft / "parsed.txt").is_file()


@pytest.mark.slow
def test_case_2_an_invalid_parent(shell: GuideShell) -> None:
    judged = shell.gen_ids("evaluation")[0]
    path, cells = find_row(shell, judged)
    whole = path.read_text()
    path.write_text(whole.replace(",".join(cells), ",".join([*cells[:3], "", *cells[4:]])))
    told = ask(shell, "evaluation_prompt", judged)
    assert (
        f"Invalid parent_gen_id referenced by evaluation '{judged}': ''. Cohort '{cells[2]}' has no such essay." in told
    )
    assert 'daydreaming materialize --select "cohort_id,cohort_membership"' in told
    with_pandas = next(command for command in read_section("Checking the data") if "import pandas" in command)
    assert "30 rows, 1 without parent, 0 twice" in shell.require(with_pandas)
    checked = shell.run("daydreaming check")
    assert checked.returncode == 1
    assert judged in checked.stdout
    said = follow(shell, "2. Invalid parent")
    assert f"evaluation {judged} has no parent []" in said
    assert path.read_text() == whole
    assert "30 rows, 0 without parent, 0 twice" in shell.require(with_pandas)
    assert "no parent" not in shell.require(next(read_section("2. Invalid parent")))


@pytest.mark.slow
def test_case_3_a_row_that_was_lost_comes_back(shell: GuideShell) -> None:
    judged = shell.gen_ids("evaluation")[0]
    path, cells = find_row(shell, judged)
    whole = path.read_text()
    path.write_text(whole.replace(",".join(cells) + "\n", ""))
    told = ask(shell, "evaluation_prompt", judged)
    assert f"Evaluation generation '{judged}' not found in the membership of any cohort." in told
    assert "in no cohort" in follow(shell, "3. Not found in the membership", EVAL=judged)
    assert path.read_text() == whole


@pytest.mark.slow
def test_case_3_a_partition_that_no_cohort_has_is_pruned(shell: GuideShell) -> None:
    judged = shell.gen_ids("evaluation")[0]
    path, cells = find_row(shell, judged)
    rubric = cells[5]
    shell.require(f"sed -i '/^{rubric},/s/,true,/,false,/' data/1_raw/evaluation_templates.csv")
    shell.require(PAIR)
    path.parent.rename(shell.folder / "a-cohort-that-was-taken-away")
    assert "not found in the membership of any cohort" in ask(shell, "evaluation_prompt", judged)
    follow(shell, "3. Not found in the membership", EVAL=judged)
    assert f"Could not find a partition with key `{judged}`" in ask(shell, "evaluation_prompt", judged)


@pytest.mark.slow
def test_case_4_folders_that_are_gone(shell: GuideShell) -> None:
    essay = shell.gen_ids("essay")[0]
    draft = find_row(shell, essay)[1][3]
    (shell.folder / "data/gens").rename(shell.folder / "gens-that-are-gone")
    told = ask(shell, "essay_prompt", essay)
    assert f"  Base directory exists: False\n  Expected path: data/gens/draft/{draft}/parsed.txt\n" in told
    said = follow(shell, "4. Base directory does not exist")
    assert "the folders are gone" in said
    assert "no model was called" in shell.require("daydreaming run")


@pytest.mark.slow
def test_some_generations_that_are_broken_are_made_anew_and_nothing_else(shell: GuideShell) -> None:
    essay = shell.gen_ids("essay")[1]
    before = read_call_ids(shell)
    folder = shell.folder / "data/gens/essay" / essay
    (folder / "parsed.txt").write_bytes(b"\xff\xfe broken")
    follow(shell, "Some generations are broken", ESSAY=essay)
    after = read_call_ids(shell)
    assert {gen_id for gen_id in before if before[gen_id] != after[gen_id]} == {essay}
    assert (folder / "parsed.txt").read_text().strip()


@pytest.mark.slow
def test_starting_over_keeps_the_inputs_and_makes_everything_again(shell: GuideShell) -> None:
    before = read_call_ids(shell)
    raw = {path: path.read_bytes() for path in (shell.folder / "data/1_raw").rglob("*") if path.is_file()}
    follow(shell, "Start over, keep the inputs")
    after = read_call_ids(shell)
    assert after.keys() == before.keys(), "ids are computed, so they are the same again"
    assert not set(before.values()) & set(after.values())
    assert {path: path.read_bytes() for path in raw} == raw


@pytest.mark.slow
def test_a_lost_home_of_dagster_comes_back_with_partitions_and_statuses(
    shell: GuideShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_home(shell, monkeypatch)
    assert {name: len(keys) for name, keys in before.items()} == {
        **{f"{stage}_gens": count for stage, count in MADE.items()},
        **{f"{stage}_{step}": count for stage, count in MADE.items() for step in STEPS},
    }
    calls = read_call_ids(shell)
    said = follow(shell, "Dagster's home is lost or broken")
    assert "Dagster was told of 30 finished and 0 failed generations that it did not know. No model was called." in said
    assert read_home(shell, monkeypatch) == before
    assert "told of 0 finished" in shell.require("daydreaming sync")
    shell.require("rm -rf dagster_home && daydreaming sync")
    assert read_home(shell, monkeypatch) == before, "also when nothing of it is left, not even its configuration"
    assert read_call_ids(shell) == calls


MADE = {Stage.DRAFT: 2, Stage.ESSAY: 4, Stage.EVALUATION: 24}


def read_home(shell: GuideShell, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Partitions that Dagster knows, and those of each asset that it shows as materialized."""
    monkeypatch.setenv("DAGSTER_HOME", str(shell.folder / "dagster_home"))
    with DagsterInstance.get() as instance:
        known = {f"{stage}_gens": set(instance.get_dynamic_partitions(f"{stage}_gens")) for stage in Stage}
        made = {
            f"{stage}_{step}": set(instance.get_materialized_partitions(AssetKey(f"{stage}_{step}")))
            for stage in Stage
            for step in STEPS
        }
    return known | made


def test_every_message_that_the_document_quotes_is_one_that_can_be_met() -> None:
    of_the_system = [os.strerror(number).lower() for number in errno.errorcode]
    texts = [text for _, text in read_texts()] + of_the_system
    of_dagster = [path.read_text() for path in Path(dagster.__file__).parent.rglob("*.py")]
    quoted = list(read_quoted_messages())
    assert len(quoted) > 70
    invented = []
    for section, message in quoted:
        known = [*texts, *of_dagster] if section == "Dagster" else texts
        parts = [part.strip() for part in message.split("…") if len(part.strip()) > 2]
        if not any(all(part in text for part in parts) for text in known):
            invented.append(message)
    assert invented == []


def read_quoted_messages() -> Iterator[tuple[str, str]]:
    """Section and words of each message in the first column of the tables of messages."""
    text = DOCUMENT.read_text()
    section = ""
    for line in text[text.index("## Messages") : text.index("## Four cases")].splitlines():
        if line.startswith("### "):
            section = line.removeprefix("### ")
        elif line.startswith("| ") and not line.startswith("| Message"):
            cell = line.split(" | ")[0]
            yield from ((section, words) for words in re.findall(r"(?<!`)`([^`]+)`(?!`)", cell))
