"""Which generations of a cohort were registered as partitions, so that stale ones can be told from other cohorts'."""

from __future__ import annotations

from daydreaming_dagster.domain.membership import Cohort
from daydreaming_dagster.store import files
from daydreaming_dagster.store.cohorts import iter_cohort_ids, read_cohort
from daydreaming_dagster.store.paths import DataPaths


def find_stale_gen_ids(paths: DataPaths, cohort: Cohort) -> set[str]:
    """Generations that were registered for this cohort, are no longer its members, and belong to no other cohort."""
    text = files.find_text(paths.registration(cohort.cohort_id)) or ""
    stale = set(text.split()) - {member.gen_id for member in cohort.members}
    if stale:
        for other in iter_cohort_ids(paths):
            if other != cohort.cohort_id:
                stale -= {member.gen_id for member in read_cohort(paths, other).members}
    return stale


def remember_registration(paths: DataPaths, cohort: Cohort) -> None:
    """Notes that exactly this cohort's members are registered now."""
    files.write_text(paths.registration(cohort.cohort_id), "\n".join(member.gen_id for member in cohort.members))
