"""What a user sees when the main job has ended: what was done, the scores, the best essay, where everything lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap

import polars as pl
from rich.box import SIMPLE
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from daydreaming_dagster.cli.console import out, print_error, print_line, show_command
from daydreaming_dagster.cli.forecast_table import describe_accuracy
from daydreaming_dagster.domain.catalogue import Template
from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.run import RunReport
from daydreaming_dagster.engine.run_board import RunBoard
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.scores_on_disk import read_scores
from daydreaming_dagster.utils.wording import show_count

_SHOWN_ESSAYS = 10
_SHOWN_CHARACTERS = 1800
_RUBRIC_WIDTH = 9


def print_closing_page(workspace: Workspace, cohort_id: str, *, quiet: bool) -> None:
    """Prints scores, the best essay, and where everything lies; with `quiet` only the last."""
    if not quiet:
        _print_scores(workspace)
    _print_places(workspace, cohort_id)


def print_work(board: RunBoard, *, again: bool = False) -> None:
    """Prints what a bulk run did, what failed, and what to do about it; with `again`, that it is tried again now."""
    report, plan = board.report, board.plan
    if report is None or plan is None:
        return
    progress = report.progress
    print_line(describe_work(plan, report))
    if again:
        why = ", ".join(sorted({reason for _, reason in progress.failures}))
        print_line(f"[yellow]{progress.failed.total()} answers could not be used ({why}); asking again.[/]")
        return
    _print_failures(progress, report.errors)
    _print_undone(progress, was_interrupted=board.was_interrupted)
    _print_spending(report)
    _print_held(plan)
    for reason, error in report.errors.items():
        if reason not in {failed for _, failed in progress.failures}:
            print_error(error)


def _print_held(plan: Plan) -> None:
    held = Counter(failure.reason for _, failure in plan.held)
    if unreadable := held.pop(StoreError.reason, 0):
        gen_id = next(member.gen_id for member, failure in plan.held if failure.reason == StoreError.reason)
        print_line(
            f"[yellow]{unreadable} cannot be read and were left alone, because they may have been paid for; --retry "
            f"{StoreError.reason} calls them again. What is wrong: daydreaming why {gen_id}[/]"
        )
    if held:
        print_line(
            f"[yellow]{held.total()} failed earlier for a lasting reason and were left alone; call them again with "
            f"--retry {','.join(sorted(held))}[/]"
        )


def describe_work(plan: Plan, report: RunReport) -> str:
    """What a run did, a line for each kind of work, and how far it all is now where it was begun before."""
    if plan.size == 0:
        return f"Nothing to do: all {plan.done.total()} generations are done; no model was called."
    progress = report.progress
    read, kept, before = progress.parsed_again.total(), progress.reused.total(), plan.done.total()
    sentences = []
    if progress.made or progress.calls or not (read or kept):
        made = ", ".join(show_count(progress.made[stage], stage) for stage in Stage if progress.planned[stage])
        cost = f"${progress.cost_usd:.4f}" + (" and calls without a price" if progress.unpriced_calls else "")
        sentences.append(
            f"Made {made} in {report.duration_s:.0f} s: {show_count(progress.calls, 'model call')}, "
            f"{progress.prompt_tokens:,} + {progress.completion_tokens:,} tokens, {cost}."
        )
    if read:
        sentences.append(f"Read {show_count(read, 'answer')} that lay in the store unread: no call.")
    if kept:
        sentences.append(f"Kept {show_count(kept, 'stored answer')} to the same request: no call.")
    if before:
        total = plan.size + before + len(plan.held) + len(plan.blocked)
        now = before + progress.succeeded_in_all + progress.elsewhere.total()
        sentences.append(f"{before:,} of {total:,} generations were done before, {now:,} are now.")
    return "\n".join(sentences)


def _print_undone(progress: Progress, *, was_interrupted: bool) -> None:
    if progress.blocked:
        print_line(f"[yellow]{show_count(progress.blocked.total(), 'generation')} waiting for a failed parent.[/]")
    if progress.left:
        left = show_count(progress.left.total(), "generation")
        print_line(f"[yellow]{left} left to do{'' if was_interrupted else '; run the same command again'}.[/]")
    if progress.elsewhere:
        print_line(f"{show_count(progress.elsewhere.total(), 'generation')} made by another process meanwhile.")


def _print_spending(report: RunReport) -> None:
    progress = report.progress
    if report.unknown is not None:
        print_line(
            f"[yellow]Unknown spend: {show_count(report.unknown.calls, 'call')} of this cohort ended without a word, "
            f"at a cost of up to ${report.unknown.cost_usd:.4f}.[/]"
        )
    if report.forecast is not None and report.stopped is None and progress.calls and not progress.left:
        out().print(describe_accuracy(report.forecast, progress, report.duration_s))


def _print_failures(progress: Progress, errors: Mapping[str, DayDreamingError]) -> None:
    """Each reason with its count, and under it the first error of it as an example."""
    told: set[str] = set()
    for (stage, reason), count in sorted(progress.failures.items()):
        print_line(f"[red]{show_count(count, stage)} failed: {escape(reason)}[/]")
        if reason in errors and reason not in told:
            told.add(reason)
            print_line(f"  {'for example: ' if count > 1 else ''}{escape(errors[reason].what)}")
            print_line(f"  → {escape(errors[reason].fix)}")


def _print_scores(workspace: Workspace) -> None:
    scores = read_scores(workspace.paths.parsing / "parsed_scores.csv", "daydreaming run")
    essays, rubrics = rank_essays(scores, workspace.catalogue.active_templates(Stage.EVALUATION))
    if essays.is_empty() or not rubrics:
        print_line("[yellow]No evaluation gave a score yet; `daydreaming status` says why.[/]")
        return
    judges = scores["evaluation_llm_model"].unique().to_list()
    _print_reservation(workspace, judges)
    means = "1 judge" if len(judges) == 1 else f"means of the judges that gave a score, of {len(judges)}"
    print_line(f"[bold]Scores by essay, ranked by {rubrics[0]}: {means}.[/]")
    print_line("[dim]Rubrics measure different things and are not added up.[/]")
    for table in build_score_tables(essays.head(_SHOWN_ESSAYS), rubrics, out().width):
        out().print(table)
    if len(essays) > _SHOWN_ESSAYS:
        print_line(f"[dim]… and {len(essays) - _SHOWN_ESSAYS} more essays[/]")
    best = essays.row(0, named=True)
    _print_best_essay(workspace, best["parent_gen_id"], f"{rubrics[0]} {best[rubrics[0]]:.1f}")
    for what, words in (
        ("its draft, prompts, scores", f"show {best['parent_gen_id']}"),
        ("read all in the browser", "explore"),
        ("what the scores are worth", "report"),
    ):
        print_line(f"[dim]{what:>26}[/]  {show_command(words, workspace.paths.root)}")


def _print_reservation(workspace: Workspace, judges: Sequence[str | None]) -> None:
    models, endpoints = workspace.catalogue.models, workspace.catalogue.endpoints
    kinds = {endpoints[model.endpoint].kind for judge in judges if judge and (model := models.get(judge))}
    if "embedded" in kinds:
        print_line(
            "[yellow]A judge is the small model inside this process: it shows the machinery, it has no judgement.[/]"
        )
    if "scripted" in kinds:
        print_line("[yellow]A judge is a script: its scores are invented.[/]")


def rank_essays(scores: pl.DataFrame, templates: Iterable[Template]) -> tuple[pl.DataFrame, list[str]]:
    """Essays with the mean score of each rubric, best first by the first rubric, ties by the next ones.

    A judge counts once, with the mean of its replicates, so that a score it could not give does not tip the scales.

    Args:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
        templates: of evaluations, the one to rank by first; those without a score are left out.

    Returns:
        One row per essay (`parent_gen_id`, `draft_template`, `generation_template`, a column per rubric), the rubrics.
    """
    usable = scores.filter(pl.col("score").is_not_null())
    present = set(usable["evaluation_template"])
    directions = {each.template_id: each.direction for each in templates if each.template_id in present}
    rubrics = list(directions)
    keys = ["parent_gen_id", "draft_template", "generation_template"]
    judged = usable.group_by(*keys, "evaluation_template", "evaluation_llm_model", maintain_order=True).agg(
        pl.col("score").mean()
    )
    essays = judged.pivot("evaluation_template", index=keys, values="score", aggregate_function="mean")
    if rubrics:
        descending = [direction == "higher_is_better" for direction in directions.values()]
        essays = essays.sort([*rubrics, "parent_gen_id"], descending=[*descending, False], nulls_last=True)
    return essays, rubrics


def build_score_tables(essays: pl.DataFrame, rubrics: Sequence[str], width: int) -> Iterator[Table]:
    """The scores as tables that lose nothing at this width: rubrics that do not fit beside the others follow below.

    Args:
        essays: as `rank_essays` gives them.
        rubrics: its columns with scores.
        width: of the terminal, characters.
    """
    rows = list(essays.iter_rows(named=True))
    names = [f"{row['parent_gen_id']}  {row['draft_template']} → {row['generation_template']}" for row in rows]
    if max(map(len, names)) + len(rubrics) * (_RUBRIC_WIDTH + 2) > width:
        names = [f"{row['parent_gen_id']}\n{row['draft_template']}\n→ {row['generation_template']}" for row in rows]
    widest = max(len(line) for name in names for line in name.splitlines())
    at_once = max(1, (width - widest - 4) // (_RUBRIC_WIDTH + 2))
    for start in range(0, len(rubrics), at_once):
        table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
        table.add_column("essay", overflow="fold")
        for rubric in rubrics[start : start + at_once]:
            table.add_column("\n".join(wrap(rubric, _RUBRIC_WIDTH)), justify="right", no_wrap=True)
        for name, row in zip(names, rows, strict=True):
            scores = [row[rubric] for rubric in rubrics[start : start + at_once]]
            table.add_row(name, *("–" if score is None else f"{score:.1f}" for score in scores))
        yield table


def _print_best_essay(workspace: Workspace, gen_id: str, score: str) -> None:
    text = workspace.store.find_parsed(Stage.ESSAY, gen_id) or ""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS].rstrip() + " …"
    out().print(Panel(escape(shown), title=f"Best essay: {gen_id} ({score})", title_align="left"))


def _print_places(workspace: Workspace, cohort_id: str) -> None:
    paths = workspace.paths
    for what, path in (
        ("cohort", paths.cohort(cohort_id)),
        ("prompts, responses, texts", paths.gens),
        ("scores", paths.parsing / "parsed_scores.csv"),
        ("summary", paths.summary / "generation_scores_pivot.csv"),
    ):
        print_line(f"[dim]{what:>26}[/]  {path}")
