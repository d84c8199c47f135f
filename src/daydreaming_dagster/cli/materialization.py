"""A selection of assets, sorted into what runs before, in and after the stages, and run in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from dagster import AssetSelection, DagsterError

from daydreaming_dagster import definitions
from daydreaming_dagster.automation import CohortRunConfig, RunBoard
from daydreaming_dagster.cli.closing_page import print_work
from daydreaming_dagster.cli.console import print_line
from daydreaming_dagster.cli.dagster_runs import EXIT_OK, DagsterRuns, find_exit_code
from daydreaming_dagster.cli.forecast_table import print_forecast
from daydreaming_dagster.domain.errors import ConfigurationError, MembershipError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import STEPS, Stage, find_stage_of
from daydreaming_dagster.engine.cohort_run import Choice, forecast_cohort_run
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.resources.dagster_home import open_instance
from daydreaming_dagster.resources.workspace import ExperimentConfigResource, WorkspaceResource
from daydreaming_dagster.store.states import Status, read_state

_STAGE_ASSETS = {f"{stage}_{step}": (stage, step) for stage in Stage for step in STEPS}
_COHORT_GROUP = "cohort"


@dataclass(frozen=True)
class Materialization:
    """One `daydreaming materialize`.

    Attributes:
        select: as Dagster's command takes it.
        partition: gen_id; None takes whatever of the cohort is not done.
        partition_range: two gen_ids of one stage, as FROM...TO.
        run_config: as Dagster's command takes it.
        tags: set on every Dagster run.
        retry: reasons of lasting failures that are called again.
    """

    select: str
    partition: str | None
    partition_range: str | None
    run_config: Mapping[str, Any]
    tags: Mapping[str, str]
    retry: Sequence[str]
    quiet: bool

    def run(self) -> int:
        """Does it and returns the exit code."""
        before, stages, after = self._sorted
        with open_instance() as instance:
            resources = definitions.build_resources(self._experiment)
            runs = DagsterRuns(instance, resources, self.tags, self._op_config)
            code = EXIT_OK
            if before:
                runs.materialize(before)
                self._say(f"Materialized {', '.join(before)}.")
            if stages:
                code = self._run_stages(runs, stages)
            if after:
                runs.materialize(after)
                self._say(f"Materialized {', '.join(after)}.")
        return code

    def describe(self) -> int:
        """Says what `run` would do; writes nothing and calls nobody."""
        before, stages, after = self._sorted
        workspace = self._open()
        if before:
            print_line(f"1. Assets without partitions: {', '.join(before)}")
        if stages:
            print_line("2. " + "; ".join(f"{stage}: {', '.join(steps)}" for stage, steps in stages.items()))
            rows = workspace.plan_cohort() if before else workspace.require_current_cohort()
            gen_ids = None
            if self.partition is not None:
                gen_ids = frozenset(member.gen_id for member in self._lineage(workspace, stages))
            choice = Choice(stages=tuple(stages), gen_ids=gen_ids, retry=tuple(self.retry))
            print_forecast(*forecast_cohort_run(workspace, rows, choice))
        if after:
            print_line(f"3. Tables: {', '.join(after)}")
        return EXIT_OK

    # What is selected ---------------------------------------------------------------------------------------------
    @cached_property
    def _selected(self) -> list[str]:
        try:
            selection = AssetSelection.from_coercible(self.select.split(","))
            keys = selection.resolve(definitions.ASSETS)
        except DagsterError as error:
            raise ConfigurationError(
                f"--select {self.select!r} is no selection of this project's assets: {str(error).strip()}",
                fix="List the assets with `daydreaming assets`, for example --select "
                '"draft_prompt,draft_raw,draft_parsed" or --select "group:evaluation".',
            ) from error
        names = {key.to_user_string() for key in keys}
        order = [spec.key.to_user_string() for spec in definitions.defs.resolve_all_asset_specs()]
        return [name for name in order if name in names and name not in _RAW_INPUTS]

    @cached_property
    def _sorted(self) -> tuple[list[str], dict[Stage, list[str]], list[str]]:
        groups = {spec.key.to_user_string(): spec.group_name for spec in definitions.defs.resolve_all_asset_specs()}
        stages: dict[Stage, list[str]] = {}
        for stage, step in _STAGE_ASSETS.values():
            if f"{stage}_{step}" in self._selected:
                stages.setdefault(stage, []).append(step)
        others = [name for name in self._selected if name not in _STAGE_ASSETS]
        before = [name for name in others if groups[name] == _COHORT_GROUP]
        return before, stages, [name for name in others if name not in before]

    # The stages ---------------------------------------------------------------------------------------------------
    def _run_stages(self, runs: DagsterRuns, stages: Mapping[Stage, list[str]]) -> int:
        if self.partition is not None:
            for member in self._lineage(self._open(), stages):
                runs.materialize(_names(member.stage, stages[member.stage]), partition=member.gen_id)
                self._say(f"Materialized {', '.join(stages[member.stage])} of {member.stage} {member.gen_id}.")
            return EXIT_OK
        if self.partition_range is not None:
            return self._run_range(runs, stages, self.partition_range)
        return self._run_whole_cohort(runs, stages)

    def _run_whole_cohort(self, runs: DagsterRuns, stages: Mapping[Stage, list[str]]) -> int:
        cohort = self._open().require_current_cohort()
        boards: list[RunBoard] = []
        for steps, names in _group_by_steps(stages):
            config = CohortRunConfig(
                cohort_id=cohort.cohort_id, stages=[str(stage) for stage in names], steps=steps, retry=list(self.retry)
            )
            boards.append(runs.make_generations(config, quiet=self.quiet))
            print_work(boards[-1])
        return max((find_exit_code(board) for board in boards), default=EXIT_OK)

    def _run_range(self, runs: DagsterRuns, stages: Mapping[Stage, list[str]], text: str) -> int:
        first, dots, last = text.partition("...")
        stage = find_stage_of(first)
        if not dots or stage is None or find_stage_of(last) is not stage or list(stages) != [stage]:
            raise ConfigurationError(
                f"--partition-range {text!r} does not fit the selection.",
                fix="Write FROM...TO with two ids of one stage, and select assets of that stage only.",
            )
        runs.materialize(_names(stage, stages[stage]), partition_range=(first, last))
        self._say(f"Materialized {', '.join(stages[stage])} of {text}.")
        return EXIT_OK

    def _lineage(self, workspace: Workspace, stages: Mapping[Stage, list[str]]) -> list[Member]:
        """The named generation, what it needs where that is missing, and what is made from it, as far as selected."""
        gen_id = self.partition or ""
        stage = find_stage_of(gen_id)
        if stage is None:
            raise MembershipError(
                f"'{gen_id}' is no gen_id.", fix="List the ids of the current cohort: daydreaming status --ids"
            )
        named = workspace.require_members(stage, [gen_id])[0]
        above: list[Member] = []
        child = named
        while (parent := child.stage.parent) is not None:
            child = workspace.require_members(parent, [child.parent_gen_id])[0]
            done = read_state(workspace.store, child.stage, child.gen_id).status is Status.DONE
            if not done and child.stage in stages:
                above.insert(0, child)
        below: list[Member] = []
        parents = {gen_id}
        for member in workspace.require_current_cohort().members:
            if member.parent_gen_id in parents and member.stage in stages:
                below.append(member)
                parents.add(member.gen_id)
        lineage = [*above, *([named] if stage in stages else []), *below]
        if not lineage:
            raise ConfigurationError(
                f"The selection has no assets of {stage} '{gen_id}' or its lineage.",
                fix=f'Select for example "{stage}_prompt,{stage}_raw,{stage}_parsed".',
            )
        return lineage

    # Settings -----------------------------------------------------------------------------------------------------
    @cached_property
    def _experiment(self) -> ExperimentConfigResource:
        resources = self.run_config.get("resources") or {}
        config = (resources.get("experiment_config") or {}).get("config") or {}
        try:
            return ExperimentConfigResource(**config)
        except (ValueError, TypeError, DagsterError) as error:
            raise ConfigurationError(
                f"The run config of resource 'experiment_config' is not valid: {str(error).strip()}",
                fix="See the names and types of its settings in docs/operating_guide.md.",
            ) from error

    @property
    def _op_config(self) -> dict[str, Any]:
        return {key: value for key, value in self.run_config.items() if key == "ops"}

    def _open(self) -> Workspace:
        return WorkspaceResource(experiment_config=self._experiment).open()

    def _say(self, text: str) -> None:
        if not self.quiet:
            print_line(text)


_RAW_INPUTS = frozenset(asset.key.to_user_string() for asset in definitions.RAW_INPUTS)


def read_run_config(paths: Sequence[Path], json_text: str | None) -> dict[str, Any]:
    """Run config of YAML files and JSON text, later ones over earlier ones.

    Raises:
        ConfigurationError: one cannot be read, or holds no mapping.
    """
    merged: dict[str, Any] = {}
    sources = [(str(path), path) for path in paths] + ([("--config-json", json_text)] if json_text else [])
    for name, source in sources:
        try:
            value = yaml.safe_load(source.read_text() if isinstance(source, Path) else source)
        except (OSError, yaml.YAMLError) as error:
            raise ConfigurationError(
                f"The run config {name} cannot be read: {error}", fix="Mend it, then run the command again."
            ) from error
        if not isinstance(value, dict):
            raise ConfigurationError(f"The run config {name} holds no mapping.", fix="Write for example: ops: {…}")
        merged = _merge(merged, value)
    return merged


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _names(stage: Stage, steps: Sequence[str]) -> list[str]:
    return [f"{stage}_{step}" for step in steps]


def _group_by_steps(stages: Mapping[Stage, list[str]]) -> list[tuple[list[str], list[Stage]]]:
    """Neighbouring stages with the same steps go into one run, so that there is no barrier between them."""
    groups: list[tuple[list[str], list[Stage]]] = []
    for stage, steps in stages.items():
        if groups and groups[-1][0] == steps:
            groups[-1][1].append(stage)
        else:
            groups.append((list(steps), [stage]))
    return groups
