"""What a user sees when the main job has ended: what was done, the scores, the best essay, where everything lies."""

from __future__ import annotations

import polars as pl
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from daydreaming_dagster.automation import RunBoard
from daydreaming_dagster.cli.console import out, print_error
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.tables import read_table

_SHOWN_ESSAYS = 10
_SHOWN_CHARACTERS = 1800


def print_closing_page(workspace: Workspace, cohort_id: str, board: RunBoard, *, quiet: bool) -> None:
    """Prints it; with `quiet` only the failures and the folder."""
    _print_work(board)
    if not quiet:
        _print_scores(workspace)
    _print_places(workspace, cohort_id)


def _print_work(board: RunBoard) -> None:
    report, plan = board.report, board.plan
    if report is None or plan is None:
        return
    progress = report.progress
    if plan.size == 0:
        out().print(f"Nothing to do: all {plan.done.total()} generations are done; no model was called.")
    else:
        done = ", ".join(f"{progress.succeeded(stage)} {stage}s" for stage in Stage if progress.planned[stage])
        cost = f"${progress.cost_usd:.4f}" + (" and calls without a price" if progress.unpriced_calls else "")
        out().print(
            f"Made {done} in {report.duration_s:.0f} s: {progress.calls} model calls, "
            f"{progress.prompt_tokens:,} + {progress.completion_tokens:,} tokens, {cost}."
            + (f" {plan.done.total()} were done before." if plan.done else "")
        )
    for (stage, reason), count in sorted(progress.failures.items()):
        out().print(f"[red]{count} {stage}s failed: {escape(reason)}[/]")
    if progress.blocked:
        out().print(f"[yellow]{progress.blocked.total()} generations wait for a failed parent.[/]")
    if plan.held:
        reasons = sorted({failure.reason for _, failure in plan.held})
        out().print(
            f"[yellow]{len(plan.held)} failed earlier for a lasting reason and were left alone; call them again with "
            f"--retry {','.join(reasons)}[/]"
        )
    for error in report.errors.values():
        print_error(error)


def _print_scores(workspace: Workspace) -> None:
    pivot = read_table(workspace.paths.summary / "generation_scores_pivot.csv", "daydreaming run")
    evaluators = [
        name.removesuffix("_n") for name in pivot.columns if name.endswith("_n") and name[:-2] in pivot.columns
    ]
    if pivot.is_empty() or not evaluators:
        return
    ranked = pivot.with_columns(mean=pl.mean_horizontal(evaluators)).sort("mean", descending=True, nulls_last=True)
    table = Table(title="Scores by essay (mean of the rubrics, best first)", title_justify="left")
    table.add_column("essay")
    table.add_column("template")
    table.add_column("model")
    for name in evaluators:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("mean", justify="right")
    for row in ranked.head(_SHOWN_ESSAYS).iter_rows(named=True):
        scores = ["–" if row[name] is None else f"{row[name]:.1f}" for name in [*evaluators, "mean"]]
        table.add_row(
            row["parent_gen_id"],
            f"{row['draft_template']} → {row['generation_template']}",
            row["generation_model"],
            *scores,
        )
    out().print(table)
    _print_best_essay(workspace, ranked.row(0, named=True)["parent_gen_id"])


def _print_best_essay(workspace: Workspace, gen_id: str) -> None:
    text = workspace.store.find_parsed(Stage.ESSAY, gen_id) or ""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS].rstrip() + " …"
    out().print(Panel(escape(shown), title=f"Best essay: {gen_id}", title_align="left", width=100))


def _print_places(workspace: Workspace, cohort_id: str) -> None:
    paths = workspace.paths
    for what, path in (
        ("cohort", paths.cohort(cohort_id)),
        ("prompts, responses, texts", paths.gens),
        ("scores", paths.parsing / "parsed_scores.csv"),
        ("summary", paths.summary / "generation_scores_pivot.csv"),
    ):
        out().print(f"[dim]{what:>26}[/]  {path}")
