"""Dagster runs that the command line starts in its own process, and how their ends are told."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dagster import (
    AssetCheckSeverity,
    AssetKey,
    DagsterInstance,
    DagsterInvalidConfigError,
    ExecuteInProcessResult,
    JobDefinition,
)
from dagster._core.errors import DagsterExecutionInterruptedError
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from daydreaming_dagster import definitions
from daydreaming_dagster.automation import CohortRunConfig, cohort_run, store_report
from daydreaming_dagster.cli.console import print_line
from daydreaming_dagster.cli.exit_codes import EXIT_OK, find_exit_code
from daydreaming_dagster.cli.live_progress import show_progress
from daydreaming_dagster.domain.errors import DayDreamingError, StoreError, UsageError
from daydreaming_dagster.engine.run_board import RunBoard
from daydreaming_dagster.resources.dagster_home import find_home
from daydreaming_dagster.resources.workspace import ExperimentConfigResource

_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own log lines go to its event log and not between ours."""


@dataclass(frozen=True)
class DagsterRuns:
    """Starts runs in this process, all with the same resources and tags.

    Attributes:
        resources: of every run (`definitions.build_resources`).
        run_config: parts of it reach the runs that have a use for them: `resources` all, `ops` those with such an op.
    """

    instance: DagsterInstance
    resources: Mapping[str, object]
    tags: Mapping[str, str]
    run_config: Mapping[str, Any] = field(default_factory=dict)

    def materialize(
        self, names: Sequence[str], *, partition: str | None = None, partition_range: tuple[str, str] | None = None
    ) -> None:
        """One run that materializes these assets.

        Raises:
            DayDreamingError: an asset failed; the sentence and the fix are its own.
        """
        tags = dict(self.tags)
        if partition_range is not None:
            tags |= dict(zip(_RANGE_TAGS, partition_range, strict=True))
        with in_our_words():
            result = self._asset_job.execute_in_process(
                asset_selection=[AssetKey(name) for name in names],
                instance=self.instance,
                partition_key=partition,
                run_config=self._config_for(names),
                tags=tags,
                raise_on_error=False,
            )
        _require_success(result)
        _tell_failed_checks(result)

    def make_generations(self, config: CohortRunConfig, *, quiet: bool) -> RunBoard:
        """The bulk run of a cohort; that some generations failed is on the board and not an exception.

        Raises:
            DayDreamingError: the run could not even begin.
        """
        board = RunBoard()
        op_config = {"make_generations": {"config": config.model_dump(exclude_none=True)}}
        with in_our_words(), show_progress(board.progress, quiet=quiet):
            result = cohort_run.execute_in_process(
                instance=self.instance,
                resources={**self.resources, "run_board": board},
                run_config={**self._config_for(()), "ops": op_config},
                tags=dict(self.tags),
                raise_on_error=False,
            )
        nothing_made = board.report is None and not board.results
        if nothing_made or find_exit_code(board) == EXIT_OK:
            _require_success(result)  # when it failed, then not because of a generation
        return board

    @cached_property
    def _asset_job(self) -> JobDefinition:
        """The job that Dagster's own pages launch for assets: its runs are shown there by the names of the assets."""
        return definitions.build_definitions(self.resources).resolve_implicit_global_asset_job_def()

    def _config_for(self, names: Sequence[str]) -> dict[str, Any]:
        ops = {name: value for name, value in (self.run_config.get("ops") or {}).items() if name in names}
        others = {key: value for key, value in self.run_config.items() if key not in {"ops", "loggers"}}
        return {**others, **({"ops": ops} if ops else {}), **_SILENT}


_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def find_assets(groups: Collection[str]) -> list[str]:
    """Names of the assets in these groups."""
    specs = definitions.defs.resolve_all_asset_specs()
    return [spec.key.to_user_string() for spec in specs if spec.group_name in groups]


def report_store(instance: DagsterInstance) -> Mapping[str, int]:
    """Tells Dagster what the store has: numbers of `cohorts`, finished generations `recorded`, and `failures`.

    Raises:
        DayDreamingError: the report could not be made.
    """
    resources = definitions.build_resources(ExperimentConfigResource())
    result = store_report.execute_in_process(
        instance=instance, resources=resources, run_config=dict(_SILENT), raise_on_error=False
    )
    _require_success(result)
    counts: Mapping[str, int] = result.output_for_node("report_store")
    if counts["failures"]:  # Dagster shows a partition as failed when the run that tried it has failed
        failing = {"ops": {"report_store": {"config": {"failures": True}}}, **_SILENT}
        store_report.execute_in_process(
            instance=instance, resources=resources, run_config=failing, raise_on_error=False
        )
    return counts


@contextmanager
def in_our_words() -> Iterator[None]:
    """What Dagster raises of wrong run config, of Ctrl-C and of a home that is gone, in the words of the command line.

    Raises:
        UsageError: the run config does not fit.
        StoreError: Dagster's database cannot be used.
        KeyboardInterrupt: as if Dagster had not caught it.
    """
    try:
        yield
    except DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error
    except SQLAlchemyError as error:
        raise StoreError(
            f"Dagster's home {find_home()} cannot be used any more: {getattr(error, 'orig', None) or error}.",
            fix="Everything answered is stored. Run the same command again; a home that is gone is made anew.",
            reason="dagster_home",
        ) from error
    except DagsterInvalidConfigError as error:
        problems = "; ".join(dict.fromkeys(problem.message for problem in error.errors))
        raise UsageError(
            f"The run config does not fit: {problems}",
            fix="Correct it (-c FILE or --config-json), for example: "
            """--config-json '{"ops": {"cohort_id": {"config": {"override": "my-cohort"}}}}'""",
        ) from error


def _tell_failed_checks(result: ExecuteInProcessResult) -> None:
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed and evaluation.severity is AssetCheckSeverity.ERROR:
            print_line(f"[red]Check {evaluation.check_name}: {escape(evaluation.description or 'failed')}[/]")


def _require_success(result: ExecuteInProcessResult) -> None:
    if result.success:
        return
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.error is not None and data.error.cls_name == DagsterExecutionInterruptedError.__name__:
                raise KeyboardInterrupt
            user_failure = data.user_failure_data
            text = user_failure.description if user_failure else None
            if not text and data.error is not None:
                text = data.error.to_string() if os.environ.get("DD_DEBUG") else data.error.message.strip()
            what, _, fix = (text or "The step failed.").partition("\n  → ")
            raise DayDreamingError(
                f"{event.step_key}: {what}", fix=fix or "Run the command again with --debug to see where it failed."
            )
    raise DayDreamingError(
        f"The Dagster run {result.run_id} failed.", fix="Look at it in Dagster's UI, then run the command again."
    )
