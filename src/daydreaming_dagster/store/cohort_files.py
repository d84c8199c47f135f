"""Cohorts as they stand on disk: which there are, which is the current one, and what is in one.

Nearly every command begins here, so nothing is imported that only the building of cohorts (`cohorts.py`) needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import REBUILD, REBUILD_COMMAND, Cohort
from daydreaming_dagster.store import files
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.membership_csv import read_membership
from daydreaming_dagster.store.paths import DataPaths

COHORT_NAME = re.compile(r"\w[\w.+@~-]*")
"""What can be the name of a cohort: it becomes a folder."""
_FIX_MANIFEST = (
    f"Restore the file, or delete it (the rows in membership.csv are enough to read the cohort), or r{REBUILD[1:]}"
)


def read_cohort(paths: DataPaths, cohort_id: str) -> Cohort:
    """A cohort as it stands on disk.

    Raises:
        StoreError: there is no such cohort, or one of its files is damaged.
    """
    if not COHORT_NAME.fullmatch(cohort_id) or not paths.cohort(cohort_id).is_dir():
        built = list(iter_cohort_ids(paths))
        known = f"Known: {', '.join(built[:5])}." if built else "None was built yet."
        raise StoreError(
            f"There is no cohort '{cohort_id}' in {paths.cohorts}. {known}",
            fix=f"Name one that is there, or build it: {REBUILD_COMMAND}",
            reason="cohort_missing",
        )
    try:
        manifest = files.find_json(paths.manifest(cohort_id)) or {}
    except StoreError as error:
        raise StoreError(error.what, fix=_FIX_MANIFEST) from error
    members = read_membership(paths.membership(cohort_id), cohort_id, GenerationStore(paths))
    try:
        combinations = find_combinations(manifest)
    except (KeyError, TypeError, AttributeError) as error:
        path = paths.manifest(cohort_id)
        raise StoreError(
            f"{path} is damaged: its combinations cannot be read ({error!r}).", fix=_FIX_MANIFEST
        ) from error
    if not combinations:
        # Older versions kept combinations in the registry only.
        from daydreaming_dagster.store.combinations import read_combo_registry

        used = {member.combo_id for member in members}
        combinations = {key: value for key, value in read_combo_registry(paths).items() if key in used}
    return Cohort(cohort_id, manifest, members, combinations)


def find_current_cohort_id(paths: DataPaths, override: str | None = None) -> str | None:
    """The named cohort, else the one that was built last, else None."""
    return override or next(iter_cohort_ids(paths), None)


def iter_cohort_ids(paths: DataPaths) -> Iterator[str]:
    """All cohorts of the data root, the one that was built last first."""
    folders = paths.cohorts.iterdir() if paths.cohorts.is_dir() else ()
    built = [(_find_built_at(folder), folder.name) for folder in folders]
    return iter([name for time_ns, name in sorted(built, reverse=True) if time_ns])


def _find_built_at(folder: Path) -> int:
    for name in ("manifest.json", "membership.csv"):
        if (folder / name).is_file():
            return (folder / name).stat().st_mtime_ns
    return 0


def find_combinations(manifest: Mapping[str, Any]) -> dict[str, Combination]:
    """The combinations in a manifest, by combo_id; none in those of older versions.

    Raises:
        KeyError, TypeError, AttributeError: they are not as this version writes them.
    """
    return {
        combo_id: Combination(combo_id, tuple(value["concept_ids"]), value["description_level"], value["k_max"])
        for combo_id, value in manifest.get("combinations", {}).items()
    }
