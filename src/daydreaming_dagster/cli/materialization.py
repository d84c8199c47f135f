"""A selection of assets, sorted into what runs before, in and after the stages, and run in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from dagster import AssetSelection, DagsterError
from rich.markup import escape

from daydreaming_dagster import definitions
from daydreaming_dagster.assets.group_cohorts import COHORT_GROUP
from daydreaming_dagster.assets.partitions import PARTITIONS, synchronize_partitions
from daydreaming_dagster.automation import CohortRunConfig
from daydreaming_dagster.cli.closing_page import print_work
from daydreaming_dagster.cli.console import count_by_stage, print_error, print_line
from daydreaming_dagster.cli.dagster_runs import DagsterRuns
from daydreaming_dagster.cli.exit_codes import EXIT_INTERRUPTED, EXIT_OK, find_exit_code
from daydreaming_dagster.domain.errors import UsageError
from daydreaming_dagster.domain.stages import STEPS, Stage, find_stage_of
from daydreaming_dagster.engine.cohort_run import CohortRows
from daydreaming_dagster.engine.run_board import RunBoard
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.resources.dagster_home import open_instance
from daydreaming_dagster.resources.workspace import ExperimentConfigResource, WorkspaceResource

_STAGE_ASSETS = {f"{stage}_{step}": (stage, step) for stage in Stage for step in STEPS}


@dataclass(frozen=True)
class Sorted:
    """The selected assets in the order in which they run.

    Attributes:
        cohort: those that say what is to be made.
        stages: the selected steps by stage.
        results: those that read what was made.
    """

    cohort: list[str]
    stages: Mapping[Stage, list[str]]
    results: list[str]

    @property
    def batches(self) -> list[tuple[list[Stage], list[str]]]:
        """Neighbouring stages with the same steps, to be run together without a barrier between them."""
        batches: list[tuple[list[Stage], list[str]]] = []
        for stage, steps in self.stages.items():
            if batches and batches[-1][1] == steps:
                batches[-1][0].append(stage)
            else:
                batches.append(([stage], steps))
        return batches

    @property
    def stage_assets(self) -> list[str]:
        """Names of the assets that have partitions."""
        return [f"{stage}_{step}" for stage, steps in self.stages.items() for step in steps]


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
        chosen = self.sorted
        self.check()
        code = EXIT_OK
        with open_instance() as instance:
            resources = definitions.build_resources(self._experiment)
            runs = DagsterRuns(instance, resources, self.tags, self._op_config)
            cohort_id = None
            if chosen.cohort:
                cohort_id = self._make_cohort(runs)
            if chosen.stages:
                code = self._make_stages(runs, cohort_id)
            if chosen.results and code != EXIT_INTERRUPTED:
                runs.materialize(chosen.results)
                self._say(f"Materialized {', '.join(chosen.results)}.")
        return code

    @cached_property
    def sorted(self) -> Sorted:
        """The selected assets.

        Raises:
            UsageError: it is no selection, or selects nothing that can be materialized.
        """
        try:
            keys = AssetSelection.from_coercible(self.select.split(",")).resolve(definitions.ASSETS)
        except DagsterError as error:
            raise self._refuse_selection(str(error).strip()) from error
        names = {key.to_user_string() for key in keys} - _RAW_INPUTS
        if not names:
            raise self._refuse_selection("it selects nothing that can be materialized")
        graph = definitions.defs.resolve_asset_graph()
        ordered = [key for key in graph.toposorted_asset_keys if key.to_user_string() in names]
        stages: dict[Stage, list[str]] = {}
        for name, (stage, step) in _STAGE_ASSETS.items():
            if name in names:
                stages.setdefault(stage, []).append(step)
        groups = {
            key.to_user_string(): graph.get(key).group_name
            for key in ordered
            if key.to_user_string() not in _STAGE_ASSETS
        }
        return Sorted(
            cohort=[name for name, group in groups.items() if group == COHORT_GROUP],
            stages=stages,
            results=[name for name, group in groups.items() if group != COHORT_GROUP],
        )

    def find_range(self, cohort: CohortRows) -> list[str] | None:
        """The ids of the partition range, in the order of the cohort; None where none is given."""
        if self.partition_range is None:
            return None
        first, last = self._split_range()
        stage = find_stage_of(first)
        gen_ids = [member.gen_id for member in cohort.members if member.stage is stage]
        for gen_id in (first, last):
            if gen_id not in gen_ids:
                raise UsageError(
                    f"'{gen_id}' is not in the cohort.",
                    fix="List the ids of the current cohort: daydreaming status --ids",
                )
        return gen_ids[gen_ids.index(first) : gen_ids.index(last) + 1]

    @property
    def cohort_override(self) -> str | None:
        """Name that run config gives the cohort."""
        config = ((self.run_config.get("ops") or {}).get("cohort_id") or {}).get("config") or {}
        return config.get("override")

    def open_workspace(self, cohort: str | None = None) -> Workspace:
        """The data root, with the settings of the run config."""
        return WorkspaceResource(experiment_config=self._experiment).open(cohort)

    # Cohort and stages --------------------------------------------------------------------------------------------
    def _make_cohort(self, runs: DagsterRuns) -> str | None:
        names = self.sorted.cohort
        cohort_id = None
        notes: Sequence[str] = ()
        if "cohort_id" in names:
            # Read everything first: a mistake in an input file is told in a second and without a Dagster run.
            plan = self.open_workspace(self.cohort_override).plan_cohort()
            cohort_id, notes = plan.cohort_id, plan.notes
        runs.materialize(names)
        self._say(f"Materialized {', '.join(names)}.")
        if cohort_id is not None:
            counts = count_by_stage(plan.members)
            self._say(f"Cohort [bold]{cohort_id}[/]: {counts}" + (" (unchanged)" if plan.unchanged else ""))
        for note in notes:
            self._say(f"[dim]{escape(note)}[/]")
        return cohort_id

    def _make_stages(self, runs: DagsterRuns, cohort_id: str | None) -> int:
        names = self.sorted.stage_assets
        if self.partition_range is not None:
            first, last = self._split_range()
            self._make_known(runs, cohort_id, first, last)
            runs.materialize(names, partition_range=(first, last))
            self._say(f"Materialized {', '.join(names)} of {self.partition_range}.")
            return EXIT_OK
        if self.partition is not None and list(self.sorted.stages) == [find_stage_of(self.partition)]:
            self._make_known(runs, cohort_id, self.partition)
            runs.materialize(names, partition=self.partition)
            self._say(f"Materialized {', '.join(names)} of {self.partition}.")
            self._say(f"[dim]Look at it:[/] daydreaming show {self.partition}")
            return EXIT_OK
        workspace = self.open_workspace(cohort_id)
        if self.partition is not None:
            cohort_id = workspace.require_cohort_of(self.partition).cohort_id
        else:
            cohort_id = workspace.require_current_cohort().cohort_id
        worst = EXIT_OK
        for batch in self.sorted.batches:
            worst = max(worst, self._make_batch(runs, cohort_id, *batch))
            if worst == EXIT_INTERRUPTED:
                break
        return worst

    def _make_known(self, runs: DagsterRuns, cohort_id: str | None, *gen_ids: str) -> None:
        """Registers partitions that Dagster does not know, in a new home say; Dagster would refuse them.

        Raises:
            MembershipError: a generation is in no cohort.
        """
        workspace = self.open_workspace(cohort_id)
        for gen_id in gen_ids:
            cohort = workspace.require_cohort_of(gen_id)
            name = str(PARTITIONS[cohort.by_gen_id[gen_id].stage].name)
            if not runs.instance.has_dynamic_partition(name, gen_id):
                synchronize_partitions(runs.instance, workspace.paths, cohort)

    def _make_batch(self, runs: DagsterRuns, cohort_id: str, stages: Sequence[Stage], steps: Sequence[str]) -> int:
        config = CohortRunConfig(
            cohort_id=cohort_id,
            stages=[str(stage) for stage in stages],
            steps=list(steps),
            lineage_of=self.partition,
            retry=list(self.retry),
        )
        board = runs.make_generations(config, quiet=self.quiet)
        print_work(board)
        _print_free_steps(board, stages)
        return find_exit_code(board)

    # What does not fit ----------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Whether partition and selection fit each other.

        Raises:
            UsageError: they do not.
        """
        if self.partition is None and self.partition_range is None:
            return
        if self.partition is not None and self.partition_range is not None:
            raise UsageError("--partition and --partition-range exclude each other.", fix="Give one of the two.")
        if not self.sorted.stages:
            raise UsageError(
                "A partition is given, but none of the selected assets has partitions.",
                fix='Leave it out, or select for example "draft_prompt,draft_raw,draft_parsed".',
            )
        if self.partition_range is not None:
            self._split_range()
        elif find_stage_of(str(self.partition)) is None:
            raise UsageError(
                f"'{self.partition}' is no gen_id.", fix="List the ids of the current cohort: daydreaming status --ids"
            )

    def _split_range(self) -> tuple[str, str]:
        first, dots, last = str(self.partition_range).partition("...")
        stage = find_stage_of(first)
        if not dots or stage is None or find_stage_of(last) is not stage or list(self.sorted.stages) != [stage]:
            raise UsageError(
                f"--partition-range '{self.partition_range}' does not fit the selection.",
                fix="Write FROM...TO with two ids of one stage, and select assets of that stage only.",
            )
        return first, last

    def _refuse_selection(self, why: str) -> UsageError:
        return UsageError(
            f"--select '{self.select}': {why}",
            fix="List the assets with `daydreaming asset-map`, then write for example --select "
            '"draft_prompt,draft_raw,draft_parsed" or --select "group:evaluation".',
        )

    # Settings -----------------------------------------------------------------------------------------------------
    @cached_property
    def _experiment(self) -> ExperimentConfigResource:
        resources = self.run_config.get("resources") or {}
        config = (resources.get("experiment_config") or {}).get("config") or {}
        unknown = sorted(config.keys() - ExperimentConfigResource.model_fields.keys())
        if unknown:
            raise UsageError(
                f"The run config of resource 'experiment_config' knows no '{unknown[0]}'.",
                fix=f"Use its settings: {', '.join(ExperimentConfigResource.model_fields)}.",
            )
        try:
            return ExperimentConfigResource(**config)
        except (ValueError, TypeError, DagsterError) as error:
            raise UsageError(
                f"The run config of resource 'experiment_config' is not valid: {str(error).strip()}",
                fix="See the names and types of its settings in docs/operating_guide.md.",
            ) from error

    @property
    def _op_config(self) -> dict[str, Any]:
        return {key: value for key, value in self.run_config.items() if key == "ops"}

    def _say(self, text: str) -> None:
        if not self.quiet:
            print_line(text)


_RAW_INPUTS = frozenset(asset.key.to_user_string() for asset in definitions.RAW_INPUTS)


def _print_free_steps(board: RunBoard, stages: Sequence[Stage]) -> None:
    verbs = {"prompt": "Wrote the prompts", "parsed": "Read the responses"}
    names = " and ".join(f"{stage}s" for stage in stages)
    for step, results in board.results.items():
        errors = [result.error for result in results if result.error is not None]
        if results:
            print_line(f"{verbs[step]} of {len(results) - len(errors)} {names}.")
        if errors:
            print_line(f"[red]{len(errors)} failed; the first one:[/]")
            print_error(errors[0])
    if board.results and not any(board.results.values()):
        print_line(f"Nothing to do for {names}.")
    if board.waiting:
        print_line(f"[yellow]{board.waiting} {names} wait for their parent's text.[/]")


def read_run_config(paths: Sequence[Path], json_text: str | None) -> dict[str, Any]:
    """Run config of YAML files and JSON text, later ones over earlier ones.

    Raises:
        UsageError: one cannot be read, or holds no mapping.
    """
    merged: dict[str, Any] = {}
    sources = [(str(path), path) for path in paths] + ([("--config-json", json_text)] if json_text else [])
    for name, source in sources:
        try:
            value = yaml.safe_load(source.read_text() if isinstance(source, Path) else source)
        except (OSError, yaml.YAMLError) as error:
            raise UsageError(
                f"The run config {name} cannot be read: {error}", fix="Mend it, then run the command again."
            ) from error
        if not isinstance(value, dict):
            raise UsageError(f"The run config {name} holds no mapping.", fix="Write for example: ops: {…}")
        merged = _merge(merged, value)
    return merged


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
