"""Which generations were registered as Dagster partitions for a cohort, so that stale ones can be found later."""

from __future__ import annotations

from collections.abc import Iterator

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import Cohort
from daydreaming_dagster.store import files
from daydreaming_dagster.store.cohort_files import iter_cohort_ids, read_cohort
from daydreaming_dagster.store.paths import DataPaths


def find_stale_gen_ids(paths: DataPaths, cohort: Cohort) -> set[str]:
    """Generations that were registered and belong to no cohort any more.

    Looked at are those of this cohort and those of cohorts whose folder is gone; what other cohorts registered is left
    to them.
    """
    existing = set(iter_cohort_ids(paths))
    gone = [cohort_id for cohort_id in _iter_registered(paths) if cohort_id not in existing]
    stale = {gen_id for cohort_id in [cohort.cohort_id, *gone] for gen_id in _read_gen_ids(paths, cohort_id)}
    stale -= cohort.by_gen_id.keys()
    for other in existing - {cohort.cohort_id}:
        if not stale:
            break
        try:
            stale -= {member.gen_id for member in read_cohort(paths, other).members}
        except StoreError:
            return set()  # whose members nobody can read, those nobody can call stale
    return stale


def remember_registration(paths: DataPaths, cohort: Cohort) -> None:
    """Notes that exactly this cohort's members are registered now, and forgets cohorts whose folder is gone."""
    files.write_text(paths.registration(cohort.cohort_id), "\n".join(member.gen_id for member in cohort.members))
    existing = set(iter_cohort_ids(paths))
    for cohort_id in _iter_registered(paths):
        if cohort_id not in existing:
            paths.registration(cohort_id).unlink(missing_ok=True)


def _read_gen_ids(paths: DataPaths, cohort_id: str) -> list[str]:
    return (files.find_text(paths.registration(cohort_id)) or "").split()


def _iter_registered(paths: DataPaths) -> Iterator[str]:
    folder = paths.registration("any").parent
    if folder.is_dir():
        yield from [path.stem for path in folder.glob("*.txt")]
