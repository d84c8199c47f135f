"""Removes a cohort with everything that only it has: generations, what was made from them, its membership.

A generation that another cohort lists stays, and so does whatever it was made from. Folders go children first and by a
rename, so that a purge that is killed leaves no generation whose parent is gone; it is finished by purging again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daydreaming_dagster.domain.errors import MembershipError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.store_checks import read_summaries
from daydreaming_dagster.store import files
from daydreaming_dagster.store.cohort_files import iter_cohort_ids, read_cohort
from daydreaming_dagster.store.owners import is_alive, iter_owner_ids


@dataclass(frozen=True, slots=True)
class Purge:
    """What purging a cohort takes away.

    Attributes:
        doomed: stored generations that go, by stage; those made from members but in no cohort included.
        unregistered: generations whose partitions go, stored or not, by stage.
        kept: members that stay because other cohorts have them.
        responses: how many of the doomed have a response.
        cost_usd: what these responses cost, as far as it is known.
    """

    cohort_id: str
    doomed: Mapping[Stage, Sequence[str]]
    unregistered: Mapping[Stage, Sequence[str]]
    kept: int
    responses: int
    cost_usd: float


def plan_purge(workspace: Workspace, cohort_id: str) -> Purge:
    """What would be removed; removes nothing.

    Raises:
        StoreError: there is no such cohort, or a cohort cannot be read, so that nobody can tell what it needs.
    """
    cohort = read_cohort(workspace.paths, cohort_id)
    needed: set[str] = set()
    for other in iter_cohort_ids(workspace.paths):
        if other != cohort_id:
            needed |= {member.gen_id for member in read_cohort(workspace.paths, other).members}
    summaries = read_summaries(workspace.store)
    gone = {member.gen_id for member in cohort.members} - needed
    doomed: dict[Stage, list[str]] = {}
    for stage in Stage:  # parents before children: what was made from a doomed text goes, too
        found = [
            gen_id
            for gen_id, summary in summaries[stage].items()
            if gen_id not in needed and (gen_id in gone or summary.parent_gen_id in gone)
        ]
        gone |= set(found)
        doomed[stage] = sorted(found)
    paid = [summaries[stage][gen_id] for stage, gen_ids in doomed.items() for gen_id in gen_ids]
    return Purge(
        cohort_id,
        doomed,
        {stage: [m.gen_id for m in cohort.members if m.stage is stage and m.gen_id in gone] for stage in Stage},
        kept=sum(1 for member in cohort.members if member.gen_id in needed),
        responses=sum(1 for summary in paid if summary.has_text),
        cost_usd=sum(summary.cost_usd or 0.0 for summary in paid),
    )


def execute_purge(workspace: Workspace, purge: Purge) -> None:
    """Removes it.

    Raises:
        MembershipError: a run is under way in this data root.
        StoreError: the disk refuses.
    """
    paths = workspace.paths
    if any(is_alive(paths, owner) for owner in iter_owner_ids(paths)):
        raise MembershipError(
            f"A run is under way in {paths.root}; nothing was removed.",
            fix="Wait for its end, or stop it with Ctrl-C, then purge again.",
            reason="run_under_way",
        )
    trash = paths.state / "trash"
    with files.explain_os_errors(trash):
        shutil.rmtree(trash, ignore_errors=True)  # what a killed purge left
        trash.mkdir(parents=True)
        for stage in reversed(Stage):
            for gen_id in purge.doomed[stage]:
                folder = paths.generation(stage, gen_id)
                if folder.is_dir():
                    folder.rename(trash / gen_id)
        paths.cohort(purge.cohort_id).rename(trash / "cohort")
        paths.registration(purge.cohort_id).unlink(missing_ok=True)
        shutil.rmtree(trash)
