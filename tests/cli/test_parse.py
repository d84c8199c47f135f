"""`daydreaming parse` says on one line per file what a parser reads, or why it reads nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from daydreaming_dagster.cli.parse import parse
from daydreaming_dagster.domain.errors import ConfigurationError

app = typer.Typer()
app.command()(parse)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, content: str | bytes) -> str:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write_file


def run(*arguments: str, stdin: str = "") -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, arguments, input=stdin)
    return result.exit_code, result.stdout.splitlines()


def test_each_file_gets_a_line_and_one_refusal_makes_the_exit_code_1(write) -> None:
    good, other, bad = (
        write("a.txt", "Fine.\nSCORE: 7\n"),
        write("b.txt", "SCORE: 6,5/9"),
        write("c.txt", "SCORE: 7/10"),
    )
    assert run("--parser", "in_last_line", good, other) == (0, ["a.txt: 7.0", "b.txt: 6.5"])
    code, lines = run("--parser", "in_last_line", good, bad)
    assert code == 1
    assert lines[0] == "a.txt: 7.0"
    assert lines[1] == "c.txt: refused, wrong_denominator: the judge counts up to 10, the scale is 0 to 9"


def test_the_scale_can_be_given(write) -> None:
    file = write("a.txt", "SCORE: 4/5")
    assert run("--parser", "labelled_score", "--scale-min", "1", "--scale-max", "5", file) == (0, ["a.txt: 4.0"])


def test_a_draft_parser_shows_length_and_first_line(write) -> None:
    file = write("a.txt", "<essay>\r\n\r\nA night watchman.\r\nMore.\r\n</essay>")
    assert run("--parser", "essay_block", file) == (0, ["a.txt: 23 characters: A night watchman."])
    assert run("--parser", "essay_idea_last", file)[0] == 1


def test_files_that_cannot_be_read_are_refused_and_the_others_still_shown(write) -> None:
    good, binary = write("a.txt", "SCORE: 7"), write("b.txt", b"\xff\xfe")
    code, lines = run("--parser", "in_last_line", "missing.txt", binary, good)
    assert code == 1
    assert lines[0].startswith("missing.txt: refused, unreadable: ")
    assert lines[1] == "b.txt: refused, not_utf8: byte 0 is not UTF-8"
    assert lines[2] == "a.txt: 7.0"


def test_a_dash_reads_standard_input() -> None:
    assert run("--parser", "json_score", "-", stdin='{"score": 7, "reasoning": "ok"}') == (0, ["-: 7.0"])


def test_every_refusal_fits_on_one_line(write) -> None:
    for text in ("", "SCORE: N/A\u2028", "SCORE: 7 or\r8", '{"score": "7\\nor 8"}'):
        for parser in ("in_last_line", "labelled_score", "json_score", "essay_block"):
            assert len(run("--parser", parser, write("a.txt", text))[1]) == 1


def test_an_unknown_parser_is_an_error_that_names_the_known_ones(write) -> None:
    result = CliRunner().invoke(app, ["--parser", "last_number", write("a.txt", "SCORE: 7")])
    assert isinstance(result.exception, ConfigurationError)
    assert "in_last_line" in result.exception.what
    assert "essay_block" in result.exception.what


def test_a_scale_upside_down_is_wrong_usage(write) -> None:
    assert run("--parser", "in_last_line", "--scale-min", "9", "--scale-max", "0", write("a.txt", "SCORE: 7"))[0] == 2


def test_parsing_loads_neither_dagster_nor_polars() -> None:
    code = (
        "import sys, daydreaming_dagster.cli.parse, daydreaming_dagster.domain.score_parsers, "
        "daydreaming_dagster.utils.draft_parsers; print({'dagster', 'polars', 'numpy'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
