"""A shell for command lines of the documentation, in a folder that looks like a checkout.

Lines run in bash as they are printed. Three things are put in place of what a test must not have: `uv` and `make` are a
few lines of shell (an environment is there already), and the models are a script.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TextIO

from tests.fakes.scripted_root import REPOSITORY, make_scripted_directory

_UV = """#!/bin/sh
# What uv does here: nothing is installed, and commands come from the environment of the tests.
[ "$1" = sync ] && exit 0
[ "$1" = run ] && shift && exec "$@"
echo "uv $1 is not played here" >&2; exit 2
"""
_MAKE = """#!/bin/sh
# What make does here: the part of `make setup` that is not an installation.
[ "$*" = setup ] && exec sh scripts/write_env.sh
echo "make $* is not played here" >&2; exit 2
"""
_ACTIVATE = "# The environment of the tests is active already.\n"
_FROM_THE_CHECKOUT = ("src", "scripts", "docs", "plans", "benchmarks", "tests", "README.md", ".env.example")
_NOT_IN_GIT = "dagster_home/*\n!dagster_home/dagster.yaml\ndata/*\n!data/1_raw\n"


class GuideShell:
    """Runs lines one after the other; variables that a line sets are there in the next ones.

    Args:
        folder: where the checkout is made; it must not exist.
        like: another shell's folder to copy, with everything that was made there; None for a fresh checkout.
        concepts: how many are active in a fresh checkout.
        endpoint: a row for `llm_endpoints.csv` of a fresh checkout instead of the script.
    """

    def __init__(self, folder: Path, *, like: Path | None = None, concepts: int = 2, endpoint: str = "") -> None:
        self.folder = folder
        if like is not None:
            shutil.copytree(like, folder, symlinks=True)
        else:
            self._make_checkout(concepts, endpoint)
        self._state = folder / "commands" / "state"
        known = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DD_", "DAGSTER_", "DAYDREAMING_", "COLUMNS", "OPENROUTER_"))
        }
        path = os.pathsep.join([str(folder / "commands"), str(Path(sys.executable).parent), known.get("PATH", "")])
        self._environ = {**known, "PATH": path, "DAGSTER_HOME": str(folder / "dagster_home")}
        self._state.write_text("")

    def run(self, line: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        """What came of a line, or of several; the first that fails ends them."""
        return subprocess.run(
            ["bash", "-c", self._script(f"trap 'export -p > \"{self._state}\"' EXIT; set -ea\n{line}")],
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

    def start(self, line: str, log: TextIO) -> subprocess.Popen[str]:
        """A line that goes on running, in a process group of its own whose id is the process's."""
        return subprocess.Popen(
            ["bash", "-c", self._script(f"exec {line}")],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _script(self, lines: str) -> str:
        return f'. "{self._state}"; {lines}'

    def gen_ids(self, stage: str) -> list[str]:
        """Members of the cohort that was built last, in order."""
        built = sorted(self.folder.glob("data/cohorts/*/membership.csv"), key=lambda path: path.stat().st_mtime_ns)
        return [line.split(",")[1] for line in built[-1].read_text().splitlines() if line.startswith(f"{stage},")]

    def _make_checkout(self, concepts: int, endpoint: str) -> None:
        make_scripted_directory(self.folder, concepts=concepts, endpoint=endpoint)
        for name in _FROM_THE_CHECKOUT:
            (self.folder / name).symlink_to(REPOSITORY / name)
        played = {
            "commands/uv": _UV,
            "commands/make": _MAKE,
            ".venv/bin/activate": _ACTIVATE,
            ".venv/bin/python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
        }
        for path, text in played.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        (self.folder / ".gitignore").write_text(_NOT_IN_GIT)
        for words in (["init"], ["add", "dagster_home", "data"], [*_SOMEBODY, "commit", "-m", "As shipped"]):
            subprocess.run(["git", *words], cwd=self.folder, check=True, capture_output=True)


_SOMEBODY = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
