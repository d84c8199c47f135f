"""All tables of a cohort or experiment for use elsewhere: Parquet files, and a data card that says what is in them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl

from daydreaming_dagster import __version__
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.export_columns import find_meaning
from daydreaming_dagster.experiments.report import reports_folder
from daydreaming_dagster.experiments.report_caveats import find_caveats
from daydreaming_dagster.experiments.report_html import clean, escape_markdown
from daydreaming_dagster.experiments.report_material import Material, read_material
from daydreaming_dagster.experiments.report_wording import join_words
from daydreaming_dagster.experiments.scope import Scope, read_scope
from daydreaming_dagster.experiments.template_texts import show_sha256
from daydreaming_dagster.store import files

CARD = "README.md"
NO_LICENCE = (
    "None is stated. The data belong to whoever ran the experiment; the texts were written by the models named below, "
    "and the terms of their makers may restrict what may be done with them. State a licence before you pass this on."
)

TABLE_MEANINGS: Mapping[str, str] = {
    "ratings_long": "One row per rating asked for, given or not: everything else can be computed from it.",
    "essays": "One row per essay with its text and lineage.",
    "combinations": "One row per combination and concept in it.",
    "calls": "One row per call to a model.",
    "rating_health": "Per rubric and judge: what is missing, and how the scale is used.",
    "agreement": "Whether the judges agree.",
    "variance_components": "How much of a rating is the essay, the rubric, the judge, chance.",
    "d_study": "Reliability and price of other panels of judges.",
    "ranking": "Essays and combinations, best first, as seen and after shrinkage.",
    "judge_card": "What is known of each judge.",
    "concept_effects": "Which concepts and pairs make combinations better.",
    "diversity": "How different the essays of a group are from each other.",
    "rarefaction": "How many different essays a sample of each size holds.",
    "budget": "Calls, tokens, cost and time.",
}
"""The exported tables, in the order of the card."""

_COMBINATIONS_SCHEMA: Schema = {
    "combo_id": pl.String(),
    "position": pl.Int64(),
    "concept_id": pl.String(),
    "concept_name": pl.String(),
}


@dataclass(frozen=True, slots=True)
class WrittenExport:
    """Where an export lies; `rows` by table."""

    folder: Path
    rows: Mapping[str, int]


def write_export(
    workspace: Workspace, experiment: str | None = None, output: Path | None = None, licence: str = ""
) -> WrittenExport:
    """Writes every table as Parquet, and the data card.

    Args:
        workspace: the data root; its cohort is the subject, or what an experiment is looked for in when it was named.
        experiment: an `experiment_id`.
        output: folder; None for `tables` in the folder of the reports.
        licence: under which the data may be used; blank says that none is stated.

    Raises:
        MembershipError: there is no cohort.
        ConfigurationError: nothing carries the experiment's name.
        StoreError: the folder cannot be written.
    """
    scope = read_scope(workspace, experiment)
    folder = output or reports_folder(workspace.paths, scope) / "tables"
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file.", fix="Name a folder: daydreaming export --output FOLDER")
    material = read_material(workspace, scope)
    tables = {name: _with_origin(table, material) for name, table in _collect(material).items()}
    origin = {"about": scope.name, "made_by": f"daydreaming {__version__}", "licence": licence or "none stated"}
    for name, table in tables.items():
        buffer = io.BytesIO()
        table.write_parquet(buffer, metadata={"daydreaming": orjson.dumps({"table": name, **origin}).decode()})
        files.write_bytes(folder / f"{name}.parquet", buffer.getvalue())
    files.write_text(folder / CARD, clean("\n".join(_write_card(material, tables, licence)) + "\n"))
    return WrittenExport(folder, {name: table.height for name, table in tables.items()})


def _collect(material: Material) -> dict[str, pl.DataFrame]:
    data = material.data
    drafts = {member.gen_id: member.parent_gen_id for member in material.scope.of_stage(Stage.ESSAY)}
    known = pl.DataFrame(
        {"essay_gen_id": list(drafts), "draft_gen_id": list(drafts.values())},
        schema={"essay_gen_id": pl.String(), "draft_gen_id": pl.String()},
    )
    own = {
        "ratings_long": data.ratings,
        "essays": data.texts.join(known, on="essay_gen_id", how="left", maintain_order="left"),
        "combinations": _list_combinations(material.workspace, material.scope),
        "calls": data.calls,
    }
    return {name: own[name] if name in own else data.tables[name] for name in TABLE_MEANINGS}


def _list_combinations(workspace: Workspace, scope: Scope) -> pl.DataFrame:
    concepts = workspace.catalogue.concepts
    return table_of_rows(
        (
            {
                "combo_id": combination.combo_id,
                "position": position,
                "concept_id": concept_id,
                "concept_name": concepts[concept_id].name if concept_id in concepts else None,
            }
            for combination in scope.combinations.values()
            for position, concept_id in enumerate(combination.concept_ids, start=1)
        ),
        _COMBINATIONS_SCHEMA,
    )


def _with_origin(table: pl.DataFrame, material: Material) -> pl.DataFrame:
    """The table with the columns that tell it from that of another cohort or experiment when both are put together."""
    scope = material.scope
    names = material.ratings["experiment_id"].drop_nulls().unique().to_list()
    experiment = scope.name if scope.kind == "experiment" else names[0] if len(names) == 1 else None
    cohort = scope.name if scope.kind == "cohort" else None
    wanted = {"cohort_id": cohort, "experiment_id": experiment}
    return table.with_columns(
        pl.lit(value, dtype=pl.String).alias(name) for name, value in wanted.items() if name not in table.columns
    )


def _write_card(material: Material, tables: Mapping[str, pl.DataFrame], licence: str) -> Iterator[str]:
    scope = material.scope
    yield from [f"# Data of {scope.kind} {escape_markdown(scope.name)}", ""]
    yield from [
        "Essays that language models wrote about combinations of concepts, and the ratings that language models gave "
        "them. Ratings are opinions of models, not of people.",
        "",
        "## Before you use it",
        "",
    ]
    caveats = find_caveats(material)
    yield from (f"- {escape_markdown(caveat)}" for caveat in caveats)
    yield from [] if caveats else ["None of the usual reservations applies."]
    yield from ["", "## Licence", "", escape_markdown(licence) if licence else NO_LICENCE, "", "## Provenance", ""]
    yield from (f"- **{name}**: {escape_markdown(value)}" for name, value in _list_provenance(material))
    yield from ["", "## Loading", "", *_LOADING, "", "## Tables", "", "| Table | Rows | Content |", "|---|---:|---|"]
    yield from (f"| `{name}.parquet` | {tables[name].height} | {words} |" for name, words in TABLE_MEANINGS.items())
    for name, table in tables.items():
        yield from ["", f"### {name}", "", "| Column | Type | Unit | Meaning |", "|---|---|---|---|"]
        for column, dtype in table.schema.items():
            unit, meaning = find_meaning(name, column)
            yield f"| `{column}` | {dtype} | {unit} | {meaning} |"


def _list_texts(material: Material, stage: Stage) -> str:
    """The templates of a stage with every text of theirs that was sent, and how often."""
    sent: dict[str, list[str]] = {}
    for row in material.texts_sent.filter(pl.col("stage") == stage).iter_rows(named=True):
        age = " (not the text in the input files today)" if row["is_today"] is False else ""
        words = f"{show_sha256(row['template_sha256'])} {row['generations']} times{age}"
        sent.setdefault(row["template_id"], []).append(words)
    asked = sorted({member.template_id for member in material.scope.of_stage(stage)})
    texts = [f"{name} (SHA-256 {join_words(sent[name])})" if name in sent else f"{name} (not sent)" for name in asked]
    return "; ".join(texts) or "none"


_LOADING: Sequence[str] = (
    "```python",
    "import polars as pl",
    'ratings = pl.read_parquet("ratings_long.parquet")',
    "",
    "import pandas as pd  # with pyarrow or fastparquet",
    'ratings = pd.read_parquet("ratings_long.parquet")',
    "",
    "import duckdb",
    "duckdb.sql(\"SELECT construct, avg(value) FROM 'ratings_long.parquet' GROUP BY construct\")",
    "```",
    "",
    "Null means not known or not estimable, never zero. Figures of different constructs do not compare.",
)


def _list_provenance(material: Material) -> list[tuple[str, str]]:
    scope, times, catalogue = material.scope, material.times, material.workspace.catalogue
    pairs = [
        ("exported", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by daydreaming {__version__}"),
        ("cohorts", ", ".join(scope.cohort_ids) or "none"),
        ("cohort built by version", str(scope.manifest.get("package_version", "unknown"))),
        ("models called", f"{times.first or 'unknown'} to {times.last or 'unknown'}"),
    ]
    for stage in Stage:
        models = sorted({member.llm_model_id for member in scope.of_stage(stage)})
        named = [
            f"{model_id} ({catalogue.models[model_id].model})" if model_id in catalogue.models else model_id
            for model_id in models
        ]
        pairs.append((f"models of the {stage}s", ", ".join(named) or "none"))
        pairs.append((f"templates of the {stage}s", _list_texts(material, stage)))
    providers = sorted(set().union(*times.providers.values()))
    pairs.append(("served by", ", ".join(providers) or "unknown"))
    return pairs
