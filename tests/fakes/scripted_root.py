"""A working directory with the shipped inputs, cut down and answered by a script: for tests that run whole commands."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEFINITIONS = REPOSITORY / "src" / "daydreaming_dagster" / "definitions.py"
ACTIVE_CONCEPTS = 3


def make_scripted_directory(folder: Path, *, concepts: int = ACTIVE_CONCEPTS, endpoint: str = "") -> Path:
    """Fills `folder/data/1_raw` with the shipped inputs; the openrouter endpoint becomes a script.

    Args:
        folder: the working directory of the commands.
        concepts: how many stay active; with k = 2 and the shipped templates, 2 make 2 drafts, 4 essays, 24 evaluations.
        endpoint: a row for `llm_endpoints.csv` instead of the script.
    """
    raw = folder / "data" / "1_raw"
    shutil.copytree(REPOSITORY / "data" / "1_raw", raw)
    row = endpoint or "openrouter,scripted,,,"
    (raw / "llm_endpoints.csv").write_text(f"endpoint,kind,base_url,api_key_env,extra_body\n{row}\n")
    (folder / "dagster_home").mkdir()
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", folder / "dagster_home")
    _drop_other_endpoints(raw / "llm_models.csv")
    _limit_active(raw / "concepts_metadata.csv", concepts)
    return folder


def run_command(folder: Path, *words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command of this environment in the directory, with a Dagster home of its own."""
    executable = Path(sys.executable).with_name(words[0])
    known = {key: value for key, value in os.environ.items() if not key.startswith(("DD_", "DAGSTER_", "DAYDREAMING_"))}
    return subprocess.run(
        [str(executable), *words[1:]],
        cwd=folder,
        env={**known, "DAGSTER_HOME": str(folder / "dagster_home"), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _limit_active(path: Path, most: int) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    active = 0
    for row in rows:
        if row["active"].lower() in {"true", "1", "yes"}:
            active += 1
            row["active"] = str(active <= most)
    _write(path, rows)


def _drop_other_endpoints(path: Path) -> None:
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["endpoint"] in {"", "openrouter"}]
    _write(path, rows)


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
