"""One data root, opened: its inputs, its cohorts, its generations, and the settings they are used with.

What only some commands need (templates, parsers, the building of cohorts) is imported where it is used: nobody who asks
how far a cohort has come should wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import MembershipError, StoreError
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.membership import REBUILD_COMMAND, Cohort, Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cohort_files import find_current_cohort_id, iter_cohort_ids, read_cohort
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.paths import DataPaths

if TYPE_CHECKING:
    from daydreaming_dagster.domain.catalogue import Catalogue
    from daydreaming_dagster.engine.recipe import Recipe
    from daydreaming_dagster.store.cohorts import CohortPlan


@dataclass(frozen=True)
class Workspace:
    """A data root in use.

    Attributes:
        paths: where its files lie.
        config: settings of the experiment.
        cohort_override: name of the cohort to build or use (`DD_COHORT`, or run config); None takes the computed one.
        environ: where endpoints' keys are looked up.
        read_only: nothing may be written, not even what a killed process left behind.
    """

    paths: DataPaths
    config: ExperimentConfig
    cohort_override: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    read_only: bool = False

    @cached_property
    def catalogue(self) -> Catalogue:
        """The input files, read once.

        Raises:
            InputErrors: all their problems.
        """
        from daydreaming_dagster.store.raw_inputs import read_catalogue

        return read_catalogue(self.paths)

    @cached_property
    def store(self) -> GenerationStore:
        """The generations; what a killed process left in its journal is put in place first."""
        from daydreaming_dagster.store.journal import has_leftovers, recover
        from daydreaming_dagster.store.ledger import Ledger

        store = GenerationStore(self.paths)
        if not self.read_only and has_leftovers(self.paths):
            ledger = Ledger(self.paths)
            try:
                recover(store, ledger)
            finally:
                ledger.close()
        return store

    def plan_cohort(self) -> CohortPlan:
        """The cohort that the inputs describe; writes nothing."""
        from daydreaming_dagster.store.cohorts import plan_cohort

        return plan_cohort(self.paths, self.catalogue, self.config, override=self.cohort_override, existing=self.store)

    def build_cohort(self) -> CohortPlan:
        """The cohort that the inputs describe, made real; doing it again changes nothing."""
        from daydreaming_dagster.store.cohorts import write_cohort

        plan = self.plan_cohort()
        write_cohort(self.paths, plan)
        return plan

    def find_current_cohort(self) -> Cohort | None:
        """The cohort in use: the named one, else the one built last; None when there is none yet."""
        cohort_id = find_current_cohort_id(self.paths, self.cohort_override)
        return None if cohort_id is None else read_cohort(self.paths, cohort_id)

    def require_current_cohort(self) -> Cohort:
        """The cohort in use.

        Raises:
            MembershipError: none was built yet.
        """
        cohort = self.find_current_cohort()
        if cohort is None:
            raise MembershipError(f"There is no cohort under {self.paths.cohorts} yet.", fix=REBUILD_COMMAND)
        return cohort

    def require_members(
        self, stage: Stage, gen_ids: Iterable[str], damaged: list[StoreError] | None = None
    ) -> list[Member]:
        """The cohort rows of these generations: from the current cohort, else from the newest one that has them.

        Args:
            stage: of all of them.
            gen_ids: which ones.
            damaged: see `iter_cohorts`.

        Raises:
            MembershipError: a generation is in no cohort, or its cohort does not have its parent.
            StoreError: a cohort is damaged.
        """
        wanted = dict.fromkeys(gen_ids)
        found: dict[str, Member] = {}
        for cohort in self.iter_cohorts(damaged):
            here = [
                member
                for member in cohort.members
                if member.gen_id in wanted and member.stage is stage and member.gen_id not in found
            ]
            if stage.parent is not None:
                for member in here:
                    cohort.require_parent(member)
            found |= {member.gen_id: member for member in here}
            if len(found) == len(wanted):
                break
        missing = [gen_id for gen_id in wanted if gen_id not in found]
        if missing:
            raise MembershipError(
                f"{stage.capitalize()} generation '{missing[0]}' not found in the membership of any cohort"
                + (f" (nor {len(missing) - 1} more)." if len(missing) > 1 else "."),
                fix="The partition is stale, or an input was edited since. Rebuild the cohort (stale partitions are "
                f"pruned, the rest is registered): {REBUILD_COMMAND}",
                culprits={"gen_ids": missing},
            )
        return [found[gen_id] for gen_id in wanted]

    def require_cohort_of(self, gen_id: str) -> Cohort:
        """The current cohort if it has this generation, else the newest one that has it.

        Raises:
            MembershipError: none has.
            StoreError: a cohort is damaged.
        """
        for cohort in self.iter_cohorts():
            if gen_id in cohort.by_gen_id:
                return cohort
        raise MembershipError(
            f"Generation '{gen_id}' not found in the membership of any cohort.",
            fix="List the generations of the current cohort with `daydreaming status --ids`, or rebuild it: "
            f"{REBUILD_COMMAND}",
            reason="not_a_member",
            culprits={"gen_id": gen_id},
        )

    def recipe(self, combinations: Mapping[str, Combination] | None = None) -> Recipe:
        """How generations are made here; combinations that a cohort does not bring come from the registry."""
        from daydreaming_dagster.engine.recipe import Recipe
        from daydreaming_dagster.store.combinations import read_combo_registry

        known = {**read_combo_registry(self.paths), **(combinations or {})}
        return Recipe(self.catalogue, self.config, known, self.store)

    def iter_cohorts(self, damaged: list[StoreError] | None = None) -> Iterator[Cohort]:
        """The cohort in use, then all others, the one built last first.

        Args:
            damaged: takes in why cohorts cannot be read, which are passed over; None raises it, as does a named one.

        Raises:
            StoreError: a cohort is damaged, or the named one does not exist.
        """
        named = [self.cohort_override] if self.cohort_override else []  # DD_COHORT may be set to nothing
        for cohort_id in dict.fromkeys([*named, *iter_cohort_ids(self.paths)]):
            try:
                yield read_cohort(self.paths, cohort_id)
            except StoreError as error:
                if damaged is None or cohort_id == self.cohort_override:
                    raise
                damaged.append(error)
