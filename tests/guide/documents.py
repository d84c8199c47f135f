"""Command lines of the documentation, as a reader would copy them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.scripted_root import REPOSITORY

BROKEN_FIRST = (
    "1. Missing parent",
    "2. Invalid parent",
    "3. Not found in the membership",
    "4. Base directory does not exist",
    "Some generations are broken",
    "Start over, keep the inputs",
    "Dagster's home is lost or broken",
)
"""Sections whose commands need something broken: `test_troubleshooting.py` breaks it, then runs them."""

_FENCE = re.compile(r"^ *```(\w*)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
        document: path from the root of the repository.
        line: of the opening fence, from 1.
        heading: the last one before it.
        language: the word behind the fence; empty where there is none.
    """

    document: str
    line: int
    heading: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def find_documents() -> list[Path]:
    """Everything people read in the repository, but for licences."""
    found = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md"]
    return found + sorted((REPOSITORY / "docs").rglob("*.md")) + sorted((REPOSITORY / "plans").glob("*.md"))


def read_blocks(document: Path) -> Iterator[Block]:
    """All fenced blocks of a document, in order."""
    language, start, heading, lines = None, 0, "", list[str]()
    for number, line in enumerate(document.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            lines.append(line)
            if language is None and line.startswith("#"):
                heading = line.lstrip("# ")
        elif language is None:
            language, start, lines = fence[1], number, []
        else:
            yield Block(str(document.relative_to(REPOSITORY)), start, heading, language, "\n".join(lines))
            language = None
    assert language is None, f"{document}:{start}: this block is never closed"


def split_commands(script: str) -> list[str]:
    """The commands of a script; one that goes over several lines, a loop or a heredoc say, is one command.

    Bash itself says where a command is complete.
    """
    commands: list[str] = []
    pending: list[str] = []
    for line in script.splitlines():
        pending.append(line)
        text = "\n".join(pending)
        if line.endswith("\\") or _is_incomplete(text):
            continue
        pending = []
        if text.strip() and not text.lstrip().startswith("#"):
            commands.append(text)
    assert not pending, f"no complete command:\n{script}"
    return commands


def name_command(command: str) -> str:
    """A command of one line without `uv run` before it and the comment behind it: what lists of commands call it."""
    return re.sub(r"\s+#.*$", "", command.removeprefix("uv run ")) if "\n" not in command else command


def _is_incomplete(text: str) -> bool:
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return checked.returncode != 0 or "here-document" in checked.stderr
