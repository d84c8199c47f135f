"""One report of a cohort or an experiment: what was run, how sound the data are, what was found, the best essays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daydreaming_dagster import __version__
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.report_caveats import find_caveats
from daydreaming_dagster.experiments.report_diversity import build_diversity_section
from daydreaming_dagster.experiments.report_document import Block, Bullets, Document, Paragraph, Picture, Section
from daydreaming_dagster.experiments.report_essays import build_essay_section
from daydreaming_dagster.experiments.report_findings import build_findings_sections
from daydreaming_dagster.experiments.report_html import render_html, render_markdown
from daydreaming_dagster.experiments.report_material import Material, read_material
from daydreaming_dagster.experiments.report_plots import DrawnPlot, draw_plots, write_plots
from daydreaming_dagster.experiments.report_run import (
    build_combination_section,
    build_cost_section,
    build_health_section,
    build_run_section,
)
from daydreaming_dagster.experiments.report_summary import summarise_construct
from daydreaming_dagster.experiments.scope import Scope, read_scope
from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.states import Status
from daydreaming_dagster.utils.wording import show_count

_UNSAFE = re.compile(r"[^\w.+@~-]+")
_HEALTH_PLOTS = ("score_histograms", "length")


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where a report lies.

    Attributes:
        caveats: as the report lists them.
    """

    html: Path
    markdown: Path
    plots: Sequence[Path]
    caveats: Sequence[str]


def reports_folder(paths: DataPaths, scope: Scope) -> Path:
    """`reports/<cohort_id>` beside the data root; `reports/experiment-<name>` for an experiment."""
    name = scope.name if scope.kind == "cohort" else f"experiment-{scope.name}"
    return paths.root.parent / "reports" / (_UNSAFE.sub("-", name).strip(".") or "unnamed")


def write_report(workspace: Workspace, experiment: str | None = None, output: Path | None = None) -> WrittenReport:
    """Makes the report of the workspace's cohort, or of an experiment, from the files as they are now.

    Args:
        workspace: the data root; its cohort is the subject, or what an experiment is looked for in when it was named.
        experiment: an `experiment_id`.
        output: folder to write to; None for `reports_folder`.

    Raises:
        MembershipError: there is no cohort.
        ConfigurationError: nothing carries the experiment's name.
        StoreError: the folder cannot be written.
    """
    scope = read_scope(workspace, experiment)
    folder = output or reports_folder(workspace.paths, scope)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file.", fix="Name a folder: daydreaming report --output FOLDER")
    material = read_material(workspace, scope)
    plots = draw_plots(material)
    caveats = find_caveats(material)
    document = build_document(material, plots, caveats)
    paths = write_plots(folder / "plots", plots)
    html, markdown = folder / "report.html", folder / "report.md"
    files.write_text(html, render_html(document))
    files.write_text(markdown, render_markdown(document))
    return WrittenReport(html, markdown, paths, caveats)


def write_result_plots(workspace: Workspace) -> tuple[Path, list[DrawnPlot]]:
    """Draws the plots of the workspace's cohort without its report; gives their folder and the plots."""
    scope = read_scope(workspace)
    plots = draw_plots(read_material(workspace, scope))
    folder = reports_folder(workspace.paths, scope) / "plots"
    write_plots(folder, plots)
    return folder, plots


def build_document(
    material: Material, plots: Sequence[DrawnPlot], caveats: Sequence[str], now: datetime | None = None
) -> Document:
    """The report as a value."""
    scope = material.scope
    subject = scope.name if scope.name.startswith(scope.kind) else f"{scope.kind} {scope.name}"
    health = build_health_section(material)
    drawn = {plot.name: Picture(plot.name, plot.question, plot.svg) for plot in plots if plot.why_nothing is None}
    pictured_health = [*health.blocks, *(drawn[name] for name in _HEALTH_PLOTS if name in drawn)]
    sections = [
        _build_caveat_section(caveats),
        Section("In short", _summarise(material)),
        build_run_section(material),
        Section(health.title, pictured_health),
        *build_findings_sections(material),
        Section("Pictures", _show_pictures(plots)),
        build_diversity_section(material),
        build_essay_section(material),
        build_cost_section(material),
        build_combination_section(material),
        _build_method_section(),
    ]
    return Document(
        title=f"DayDreaming report: {subject}",
        subtitle=_describe_size(material),
        made_at=f"{(now or datetime.now(UTC)):%Y-%m-%d %H:%M} UTC by daydreaming {__version__}",
        sections=sections,
    )


def _describe_size(material: Material) -> str:
    scope = material.scope
    writers = {member.llm_model_id for member in scope.of_stage(Stage.DRAFT)}
    judges = {member.llm_model_id for member in scope.of_stage(Stage.EVALUATION)}
    combos = {member.combo_id for member in scope.members if member.combo_id}
    return (
        f"{show_count(len(scope.of_stage(Stage.ESSAY)), 'essay')} about {show_count(len(combos), 'combination')} of "
        f"concepts by {show_count(len(writers), 'writer')}, "
        f"{show_count(len(scope.of_stage(Stage.EVALUATION)), 'evaluation')} by {show_count(len(judges), 'judge')}"
    )


def _summarise(material: Material) -> list[Block]:
    if not material.scope.members:
        return [Paragraph("Nothing was asked for: there is no generation to report on.", is_lead=True)]
    done = sum(stage.counts[Status.DONE] for stage in material.status.stages)
    total = sum(stage.total for stage in material.status.stages)
    first = f"{done:,} of {show_count(total, 'generation')} are done."
    if material.rated.is_empty():
        return [Paragraph(first), Paragraph("No essay has a usable rating, so nothing was found.", is_lead=True)]
    sentences = [summarise_construct(material, construct) for construct in material.constructs]
    return [
        Paragraph(f"{first} What follows is judged by models; each construct stands for itself."),
        Bullets(sentences),
    ]


def _build_caveat_section(caveats: Sequence[str]) -> Section:
    if not caveats:
        return Section("Read this first", [Paragraph("None of the usual reservations applies to this run.")])
    return Section("Read this first", [Bullets(caveats, is_warning=True)])


def _show_pictures(plots: Sequence[DrawnPlot]) -> list[Block]:
    others = [plot for plot in plots if plot.name not in _HEALTH_PLOTS]
    shown: list[Block] = [
        Paragraph("Black, white and grey; groups are told apart by shape, dash and label. Files lie in plots/.")
    ]
    shown += [Picture(plot.name, plot.question, plot.svg) for plot in others if plot.why_nothing is None]
    empty = [f"{plot.question} No picture: {plot.why_nothing}." for plot in plots if plot.why_nothing is not None]
    return [*shown, Bullets(empty)] if empty else shown


def _build_method_section() -> Section:
    return Section(
        "How to read this",
        [
            Bullets(
                [
                    "The unit of every analysis is the combination of concepts; essays and ratings are nested in it. "
                    "Intervals are 95 % intervals from resampling combinations.",
                    "A rating is a judge's opinion of one essay on one rubric. Constructs are never averaged with "
                    "each other.",
                    "More is always better: scores of rubrics where less is better are turned round.",
                    "Not estimable means that these data cannot tell; the note beside it says why.",
                    "Failed calls and scores that could not be read are counted, never filled in.",
                    "All tables as files: daydreaming export. Two things against each other: daydreaming compare A B.",
                ]
            )
        ],
    )
