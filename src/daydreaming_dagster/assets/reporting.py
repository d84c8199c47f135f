"""What is made for people from the tables: plots that Dagster shows, and the report that can be sent."""

import base64

from dagster import MaterializeResult, MetadataValue, asset

from daydreaming_dagster.assets import results_analysis
from daydreaming_dagster.experiments.report import write_report, write_result_plots
from daydreaming_dagster.experiments.report_plots import render_preview
from daydreaming_dagster.resources.failures import explain_failures
from daydreaming_dagster.resources.workspace import WorkspaceResource

RESULTS_PLOTS = "results_plots"

_TABLES = [
    results_analysis.rating_health,
    results_analysis.agreement,
    results_analysis.variance_components,
    results_analysis.d_study,
    results_analysis.ranking,
    results_analysis.judge_card,
    results_analysis.concept_effects,
    results_analysis.diversity,
    results_analysis.rarefaction,
    results_analysis.budget,
]


@asset(group_name=RESULTS_PLOTS, kinds={"altair", "svg"}, deps=_TABLES)
def result_plots(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """A plot for each question that the tables answer, as PNG and SVG under `reports/`."""
    with explain_failures():
        folder, plots = write_result_plots(workspace.open())
    pictures = {
        plot.name: MetadataValue.md(
            f"{plot.question}\n\n"
            f"![{plot.name}](data:image/png;base64,{base64.b64encode(render_preview(plot)).decode()})"
        )
        for plot in plots
    }
    return MaterializeResult(metadata={"path": MetadataValue.path(folder), **pictures})


@asset(group_name=RESULTS_PLOTS, kinds={"html", "markdown"}, deps=_TABLES)
def report(workspace: WorkspaceResource) -> MaterializeResult[None]:
    """The report of the cohort: one HTML file without network, and Markdown that says the same."""
    with explain_failures():
        written = write_report(workspace.open())
    return MaterializeResult(
        metadata={
            "path": MetadataValue.path(written.html),
            "markdown": MetadataValue.path(written.markdown),
            "read_this_first": MetadataValue.md("\n".join(f"- {caveat}" for caveat in written.caveats) or "nothing"),
        }
    )
