"""A shell for command lines of the documentation, in a folder that looks like a fresh checkout.

Lines run in bash as they are printed. Two things are put in place of what a test must not have: `uv` is a few lines of
shell (an environment is there already), and the models are a script.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fakes.scripted_root import REPOSITORY, make_scripted_directory

_ASSIGNMENT = re.compile(r"(?:export )?([A-Z][A-Z_]*)=.*")
_UV = """#!/bin/sh
# What uv does here: nothing is installed, and commands come from the environment of the tests.
[ "$1" = sync ] && exit 0
[ "$1" = run ] && shift && exec "$@"
echo "uv $1 is not played here" >&2; exit 2
"""


class GuideShell:
    """Runs lines one after the other; variables that a line sets are there in the next ones."""

    def __init__(self, folder: Path, concepts: int = 2) -> None:
        self.folder = make_scripted_directory(folder, concepts=concepts)
        for name in ("src", "scripts", "docs", "plans"):
            (folder / name).symlink_to(REPOSITORY / name)
        commands = folder / "commands"
        commands.mkdir()
        (commands / "uv").write_text(_UV)
        (commands / "uv").chmod(0o755)
        known = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DD_", "DAGSTER_", "DAYDREAMING_", "COLUMNS"))
        }
        path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), known.get("PATH", "")])
        self._environ = {**known, "PATH": path, "DAGSTER_HOME": str(folder / "dagster_home")}
        self._assignments: list[str] = []

    def run(self, line: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """What came of a line (or several, joined by newlines)."""
        if _ASSIGNMENT.fullmatch(line):
            self._assignments.append(line)
        script = "\n".join([*self._assignments, line])
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def require(self, line: str) -> str:
        """The output of a line that has to succeed."""
        ended = self.run(line)
        assert ended.returncode == 0, f"$ {line}\n{ended.stdout[-2000:]}\n{ended.stderr[-5000:]}"
        return ended.stdout

    def gen_ids(self, stage: str) -> list[str]:
        """Members of the only cohort, in order."""
        lines = next(self.folder.glob("data/cohorts/*/membership.csv")).read_text().splitlines()
        return [line.split(",")[1] for line in lines if line.startswith(f"{stage},")]
