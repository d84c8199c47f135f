"""The plots of a report: which there are, which question each answers, and where their files lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from daydreaming_dagster.store import files

if TYPE_CHECKING:
    from daydreaming_dagster.experiments.report_material import Material


@dataclass(frozen=True, slots=True)
class PlotKind:
    """A plot that a report may have.

    Attributes:
        name: of its files, without ending.
        question: what it answers.
        draw: makes the chart.
    """

    name: str
    question: str
    draw: Callable[[Material], Any]


@dataclass(frozen=True, slots=True)
class DrawnPlot:
    """A plot, rendered.

    Attributes:
        why_nothing: for a picture without data; None for all others.
    """

    name: str
    question: str
    svg: str
    png: bytes
    why_nothing: str | None = None


def _histograms(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.scores import plot_score_histograms

    return plot_score_histograms(material.ratings)


def _length(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.scores import plot_length

    return plot_length(material.ratings)


def _agreement(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.reliability import plot_agreement

    return plot_agreement(material.table("agreement"))


def _variance(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.reliability import plot_variance_shares

    return plot_variance_shares(material.table("variance_components"))


def _d_study(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.reliability import plot_d_study

    return plot_d_study(material.table("d_study"))


def _contrasts(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.contrasts import plot_contrasts

    return plot_contrasts(material.contrasts)


def _combination_ranking(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.rankings import plot_ranking

    ranking = material.table("ranking")
    names = {combo_id: material.name_concepts(combo_id) for combo_id in ranking["combo_id"].drop_nulls().unique()}
    if len(set(names.values())) == len(names):
        ranking = ranking.with_columns(pl.col("id").replace(names))
    return plot_ranking(ranking, level="combination", top=15, scale=_common_scale(material))


def _essay_ranking(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.rankings import plot_ranking

    return plot_ranking(material.table("ranking"), level="essay", top=15, scale=_common_scale(material))


def _front(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.rankings import plot_front

    return plot_front(material.table("ranking"), scale=_common_scale(material))


def _concepts(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.concepts import plot_concept_effects

    return plot_concept_effects(material.table("concept_effects"))


def _rarefaction(material: Material) -> Any:
    from daydreaming_dagster.analysis.plots.sets import plot_rarefaction

    return plot_rarefaction(material.table("rarefaction"))


def _cost_quality(material: Material) -> Any:
    from daydreaming_dagster.analysis.budget import ACCEPTED_SCHEMA, build_budget, with_no_bounds
    from daydreaming_dagster.analysis.cost_quality import build_cost_quality
    from daydreaming_dagster.analysis.plots.sets import plot_cost_quality
    from daydreaming_dagster.experiments.rating_frames import read_models

    # What the essays cost whoever paid for them: those that were taken over, too, and without calls that were lost.
    models = read_models(material.workspace.catalogue)
    costs = build_budget(with_no_bounds(material.data.calls), models, pl.DataFrame(schema=ACCEPTED_SCHEMA))
    return plot_cost_quality(build_cost_quality(material.ratings, costs))


PLOTS: Sequence[PlotKind] = (
    PlotKind("score_histograms", "How do the scores of each judge lie on the scale, ends included?", _histograms),
    PlotKind("length", "Do longer essays get higher scores?", _length),
    PlotKind("contrasts", "Which templates and models are better, and how sure is that?", _contrasts),
    PlotKind("ranking_combinations", "Which combinations are best, as seen and after shrinkage?", _combination_ranking),
    PlotKind("ranking_essays", "Which essays are best, as seen and after shrinkage?", _essay_ranking),
    PlotKind("front", "Which essays are both novel and coherent?", _front),
    PlotKind("concept_effects", "Which concepts, and which pairs of them, make essays better?", _concepts),
    PlotKind("agreement", "Do the judges agree, with each other and with themselves?", _agreement),
    PlotKind("variance", "How much of a score is the essay, and how much the judge?", _variance),
    PlotKind("d_study", "How many judges would make the mean reliable?", _d_study),
    PlotKind("rarefaction", "How soon do the essays repeat themselves?", _rarefaction),
    PlotKind("cost_quality", "What does quality cost?", _cost_quality),
)
"""In the order in which a report shows them."""


def draw_plots(material: Material) -> list[DrawnPlot]:
    """Every plot of `PLOTS`; one for which there are no data says so."""
    import vl_convert

    from daydreaming_dagster.analysis.plots.drawing import find_why_nothing, render_svg

    drawn = []
    for plot in PLOTS:
        chart = plot.draw(material)
        svg = render_svg(chart)
        # From the SVG, because laying a chart out a second time costs as much as the first.
        png = bytes(vl_convert.svg_to_png(svg, scale=2.0))
        drawn.append(DrawnPlot(plot.name, plot.question, svg, png, find_why_nothing(chart)))
    return drawn


def render_preview(plot: DrawnPlot) -> bytes:
    """The plot as a small PNG, for places that keep many of them."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(plot.svg, scale=1.0))


def write_plots(folder: Path, plots: Sequence[DrawnPlot]) -> list[Path]:
    """Writes each plot as `<name>.svg` and `<name>.png`; gives the PNG files."""
    for plot in plots:
        files.write_text(folder / f"{plot.name}.svg", plot.svg)
        files.write_bytes(folder / f"{plot.name}.png", plot.png)
    return [folder / f"{plot.name}.png" for plot in plots]


def _common_scale(material: Material) -> tuple[float, float] | None:
    """The scale, when all constructs have the same one."""
    scales = {material.scale_of(construct) for construct in material.constructs}
    return scales.pop() if len(scales) == 1 else None
