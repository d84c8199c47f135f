"""One content hash per kind of raw input, so that a change is noticed and a mere touch is not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.combinations import find_edited_combinations
from daydreaming_dagster.store.paths import DataPaths


def compute_input_versions(paths: DataPaths) -> dict[str, str]:
    """SHA-256 over names and contents of each kind of input; a missing file counts as missing, not as an error.

    A table of combinations that was generated and not edited is left out: it follows from the other inputs, and writing
    it must not look like a change of them.
    """
    kinds: dict[str, list[Path]] = {
        "concepts": [paths.concepts_csv, *_below(paths.raw / "concepts")],
        **{
            f"{stage}_templates": [paths.templates_csv(stage), *_below(paths.template(stage, "any").parent)]
            for stage in Stage
        },
        "llm_models": [paths.models_csv, paths.endpoints_csv, paths.pools_csv],
        "replication_config": [paths.replication_csv],
        "selection_files": [paths.selected_essays, paths.selected_drafts, *find_edited_combinations(paths)],
    }
    return {kind: _hash(members) for kind, members in kinds.items()}


def _below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.txt"))


def _hash(members: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in members:
        with files.explain_os_errors(path):
            content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.name}\0{len(content) if path.is_file() else 'missing'}\0".encode())
        digest.update(content)
    return digest.hexdigest()
