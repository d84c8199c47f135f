"""What a complete run left behind, in one hash: while it is the same, another run would change nothing.

The hash is kept in Dagster's home and not in the data root. Who deletes that home wants Dagster told again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.cohort_run import CohortRows
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store import files
from daydreaming_dagster.store.generation_files import find_mtime_ns
from daydreaming_dagster.store.index import Index
from daydreaming_dagster.store.input_versions import compute_input_versions
from daydreaming_dagster.store.paths import PARSED, DataPaths

_PACKAGE = Path(__file__).parents[1]
_MEMORY = Path("history") / "complete_runs.json"
"""Beside Dagster's event log, so that it goes when that goes."""


def is_unchanged(dagster_home: Path, workspace: Workspace, cohort_id: str, rows: CohortRows) -> bool:
    """Whether cohort, inputs, generations, tables, settings and this program are those of the last complete run."""
    known = (_read_memory(dagster_home) or {}).get(_name(workspace.paths, cohort_id))
    return known is not None and known == compute_state(workspace, rows)


def remember_run(dagster_home: Path, workspace: Workspace, cohort_id: str, rows: CohortRows) -> None:
    """Writes down that a run has just made everything of a cohort, tables included, and told Dagster."""
    states = {**(_read_memory(dagster_home) or {}), _name(workspace.paths, cohort_id): compute_state(workspace, rows)}
    files.write_json(dagster_home / _MEMORY, states)


def compute_state(workspace: Workspace, rows: CohortRows) -> str:
    """SHA-256 of everything that a run of the cohort reads and writes; of files their times and sizes."""
    digest = hashlib.sha256(Settings().model_dump_json().encode())
    digest.update(repr([*_iter_generations(workspace, rows)]).encode())
    digest.update(repr(compute_input_versions(workspace.paths)).encode())
    paths = workspace.paths
    for folder in (paths.human, paths.parsing, paths.summary, _PACKAGE):
        digest.update(repr(_list_files(folder)).encode())
    return digest.hexdigest()


def _iter_generations(workspace: Workspace, rows: CohortRows) -> Iterator[tuple[object, ...]]:
    """Every member with the time of its folder; an evaluation also with that of its score, edited in place or not."""
    with closing(Index(workspace.store)) as index:
        times = dict(row for stage in Stage for row in index.columns(stage, ("gen_id", "mtime_ns")))
    scores = workspace.paths.stage(Stage.EVALUATION)
    for member in rows.members:
        is_score = member.stage is Stage.EVALUATION
        scored = find_mtime_ns(f"{scores}/{member.gen_id}/{PARSED}") if is_score else None
        yield (member.gen_id, member.parent_gen_id, times.get(member.gen_id), scored)


def _list_files(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(place, name)
            facts = path.stat()
            found.append((str(path.relative_to(folder)), facts.st_mtime_ns, facts.st_size))
    return sorted(found)


def _name(paths: DataPaths, cohort_id: str) -> str:
    return f"{paths.root.absolute()}: {cohort_id}"


def _read_memory(dagster_home: Path) -> dict[str, str] | None:
    return files.find_json(dagster_home / _MEMORY)
