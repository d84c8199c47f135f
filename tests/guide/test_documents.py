"""Every command line of our own documentation is run, in the order of its document, or named here with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fakes.scripted_root import REPOSITORY
from tests.guide.command_line import find_unknown_words
from tests.guide.documents import BROKEN_FIRST, Block, find_documents, name_command, read_blocks, split_commands
from tests.guide.shell import GuideShell

ELSEWHERE: Mapping[str, str] = {
    "make demo": "minutes of a real model; its parts: tests/llm/test_embedded.py, tests/inputs/test_shipped_inputs.py",
    "make test": "these tests; .ci/run runs it",
    "make check": ".ci/run runs it",
    "make bench": "half an hour of measuring, and it edits a document; its parts by tests/engine/test_kill.py",
    "make peers": "installs other tools; tests/benchmarks/test_peers.py looks at the lists",
    "make bench-peers": "forty minutes of measuring; its parts by tests/benchmarks/test_peers.py",
    ".venv/bin/python -m benchmarks.kill --kills 200": "a quarter of an hour; tests/engine/test_kill.py",
    "dagster dev -f src/daydreaming_dagster/definitions.py": "serves until it is ended; "
    "tests/guide/test_automatic_updates.py",
    "daydreaming explore": "serves until it is ended; tests/guide/test_servers.py",
    '--with dagster-dg-cli dg launch --assets "cohort_id,cohort_membership" '
    "-f src/daydreaming_dagster/definitions.py": "installs a package; what it launches: tests/guide/test_documents.py",
}
"""Commands that no test of this module runs: why not, and what does."""

LANGUAGES = {"bash", "csv", "jinja", "python", "sql", "text", "yaml"}
"""What fenced blocks may be; a command line in a block of another name would be run by nobody."""


@dataclass(frozen=True)
class Start:
    """What a document finds when its first command is run.

    Attributes:
        everything_made: otherwise it is a fresh checkout.
        first: commands before it.
        example_names: names that the document uses as examples, and what stands for them here.
    """

    everything_made: bool = True
    first: str = ""
    example_names: Mapping[str, str] = field(default_factory=dict)


STARTS: Mapping[str, Start] = {
    "README.md": Start(everything_made=False),
    "docs/index.md": Start(everything_made=False),
    "docs/operating_guide.md": Start(everything_made=False),
    "docs/guides/parsers.md": Start(
        first="printf 'Fine.\\nSCORE: 4\\n' > answer.txt; printf 'Poor.\\nSCORE: 2\\n' > other.txt"
    ),
    "docs/guides/report.md": Start(
        first="daydreaming run --quiet --cohort second",
        example_names={"cohort-0123456789ab": "second", "cohort-ba9876543210": "{cohort}"},
    ),
    "docs/guides/results.md": Start(
        example_names={"writer-a": "creative-synthesis-v7", "writer-b": "systematic-analytical"}
    ),
    "docs/troubleshooting.md": Start(first="mv data/gens/essay ../essays-that-are-missed"),
}

EXIT_CODES: Mapping[str, set[int]] = {
    "daydreaming check": {0, 1},
    "daydreaming compare": {0, 3},
    "daydreaming status": {0, 3},
}
"""Commands whose exit code says more than whether they worked: that something is broken, cannot be compared, or
is not made."""


def read_commands() -> Iterator[tuple[Block, str]]:
    """Commands of all documents in order; Python is run by one."""
    for document in find_documents():
        for block in read_blocks(document):
            if block.language == "bash":
                for command in split_commands(block.text):
                    yield block, command
            elif block.language == "python":
                yield block, f"python - <<'PY'\n{block.text}\nPY"


def test_every_block_is_of_a_language_that_says_whether_it_is_run() -> None:
    blocks = [block for document in find_documents() for block in read_blocks(document)]
    assert len(blocks) > 50
    assert [str(block) for block in blocks if block.language not in LANGUAGES] == []


def test_what_is_run_elsewhere_is_still_printed_and_its_test_exists() -> None:
    printed = {name_command(command) for _, command in read_commands()}
    assert set(ELSEWHERE) - printed == set()
    for command, reason in ELSEWHERE.items():
        named = re.findall(r"tests/[\w/]+\.py|\.ci/run", reason)
        assert named, command
        assert all((REPOSITORY / name).exists() for name in named), command


def test_every_command_in_running_text_exists_with_its_options() -> None:
    said = [
        (str(document.relative_to(REPOSITORY)), span)
        for document in find_documents()
        for span in re.findall(r"`([^`\n]*daydreaming [^`\n]*)`", document.read_text())
    ]
    assert len(said) > 50
    assert [(document, unknown) for document, span in said for unknown in find_unknown_words(span)] == []


def test_a_command_is_whole_also_over_several_lines() -> None:
    script = "for a in 1 2; do\n  echo $a\ndone\ncat <<X\n# text\nX\n# comment\nls \\\n  -l  # long\n"
    assert split_commands(script) == ["for a in 1 2; do\n  echo $a\ndone", "cat <<X\n# text\nX", "ls \\\n  -l  # long"]


DOCUMENTS = sorted({block.document for block, _ in read_commands()})


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_of_a_document_work_in_its_order(
    document: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    start = STARTS.get(document, Start())
    shell: GuideShell = request.getfixturevalue("shell" if start.everything_made else "fresh_shell")
    if start.first:
        shell.require(start.first)
    fill_in = make_filler(shell, start) if start.everything_made else str
    for block, command in read_commands():
        if block.document != document or block.heading in BROKEN_FIRST or name_command(command) in ELSEWHERE:
            continue
        ended = shell.run(fill_in(command))
        named = name_command(command)
        allowed = next((codes for words, codes in EXIT_CODES.items() if named.startswith(words)), {0})
        told = f"{block}\n$ {command}\n{ended.stdout[-3000:]}\n{ended.stderr[-5000:]}"
        assert ended.returncode in allowed, told
        assert "Traceback" not in ended.stdout + ended.stderr, told


@pytest.mark.slow
def test_the_run_config_of_the_operating_guide_is_accepted_as_it_stands(fresh_shell: GuideShell) -> None:
    blocks = read_blocks(REPOSITORY / "docs" / "operating_guide.md")
    config = next(block.text for block in blocks if block.language == "yaml")
    (fresh_shell.folder / "config.yaml").write_text(config)
    fresh_shell.require('daydreaming materialize -c config.yaml --select "cohort_id,cohort_membership"')
    assert (fresh_shell.folder / "data/cohorts/pilot/membership.csv").is_file()


def make_filler(shell: GuideShell, start: Start) -> Callable[[str], str]:
    """Puts ids of this checkout where the documents show examples of ids."""
    cohort = next(shell.folder.glob("data/cohorts/cohort-*")).name
    names = {
        "e_2n6ko9fgp89xemwt": shell.gen_ids("essay")[0],
        "v_1i6m1c7p4o18cct": shell.gen_ids("evaluation")[0],
        "cohort-f1a8503ccbac": cohort,
        **{example: name.format(cohort=cohort) for example, name in start.example_names.items()},
    }

    def fill_in(command: str) -> str:
        for example, name in names.items():
            command = command.replace(example, name)
        return command

    return fill_in
