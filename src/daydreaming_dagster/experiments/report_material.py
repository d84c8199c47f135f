"""Everything a report is written from, read and computed once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from daydreaming_dagster.analysis.comparison import ARM
from daydreaming_dagster.analysis.concept_effects import build_concept_effects
from daydreaming_dagster.analysis.ratings import select_rated
from daydreaming_dagster.domain.catalogue import Template
from daydreaming_dagster.domain.membership import Cohort, Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.cohort_status import CohortStatus, read_cohort_status
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.comparison import build_contrasts
from daydreaming_dagster.experiments.rating_frames import read_answers
from daydreaming_dagster.experiments.scope import Scope
from daydreaming_dagster.experiments.scope_tables import ScopeTables, build_scope_tables
from daydreaming_dagster.experiments.template_texts import count_texts

MOST_LEVELS = 8
"""Of more templates or models than that not every pair is compared: the tables would be all anybody sees."""


@dataclass(frozen=True, slots=True)
class CallTimes:
    """When models were called, and which answered.

    Attributes:
        first, last: UTC, ISO 8601; None when nothing is known.
        answered: by catalogue id, the names under which models answered.
        providers: by catalogue id, who served the calls.
    """

    first: str | None
    last: str | None
    answered: Mapping[str, frozenset[str]]
    providers: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Material:
    """What the sections of a report are made from.

    Attributes:
        contrasts: templates and models against each other: a frame of `CONTRASTS_SCHEMA`.
        other_family_contrasts: the same without judges of the writer's own family; empty where there is none.
        other_family_effects: the effects of concepts without these judges: a frame of `CONCEPT_EFFECTS_SCHEMA`, empty
            where there is none.
        constructs: what was to be measured, in the order of the rubrics; also those without a single rating.
        rated: the rows of the ratings that can be used.
        texts_sent: of the templates: a frame of `TEXTS_SCHEMA`.
    """

    workspace: Workspace
    scope: Scope
    data: ScopeTables
    contrasts: pl.DataFrame
    other_family_contrasts: pl.DataFrame
    other_family_effects: pl.DataFrame
    status: CohortStatus
    times: CallTimes
    constructs: list[str]
    rated: pl.DataFrame
    texts_sent: pl.DataFrame

    @property
    def ratings(self) -> pl.DataFrame:
        """A frame of `RATINGS_LONG_SCHEMA`."""
        return self.data.ratings

    def table(self, name: str, construct: str | None = None) -> pl.DataFrame:
        """A table by name, or what it says on one construct."""
        table = self.data.tables[name]
        return table if construct is None else table.filter(pl.col("construct") == construct)

    def rubrics_of(self, construct: str) -> list[Template]:
        """The rubrics whose ratings are about a construct."""
        ids = self.ratings.filter(pl.col("construct") == construct)["evaluation_template"].drop_nulls().unique()
        known = self.workspace.catalogue.templates[Stage.EVALUATION]
        return [known[template_id] for template_id in sorted(ids.to_list()) if template_id in known]

    def scale_of(self, construct: str) -> tuple[float, float] | None:
        """Ends of the construct's scale; None when unknown."""
        row = self.ratings.filter(pl.col("construct") == construct, pl.col("scale_max").is_not_null())
        return None if row.is_empty() else (row["scale_min"][0], row["scale_max"][0])

    def name_concepts(self, combo_id: str | None) -> str:
        """A combination for people: `Mind Wandering + Economic Moat`."""
        combination = self.scope.combinations.get(combo_id or "")
        if combination is None:
            return "unknown"
        concepts = self.workspace.catalogue.concepts
        return " + ".join(concepts[name].name if name in concepts else name for name in combination.concept_ids)

    def kinds_of_models(self, column: str) -> dict[str, list[str]]:
        """Models of a column of the ratings by what answered for them: `scripted`, `embedded` or `openai`."""
        found: dict[str, list[str]] = defaultdict(list)
        catalogue = self.workspace.catalogue
        for model_id in sorted(self.ratings[column].drop_nulls().unique().to_list()):
            providers = self.times.providers.get(model_id, frozenset())
            model = catalogue.models.get(model_id)
            kind = catalogue.endpoints[model.endpoint].kind if model and model.endpoint in catalogue.endpoints else ""
            found["scripted" if providers == frozenset({"scripted"}) else kind].append(model_id)
        return found


def read_material(workspace: Workspace, scope: Scope) -> Material:
    """Reads the scope and makes every table of it."""
    data = build_scope_tables(workspace, scope)
    rated = select_rated(data.ratings)
    cohort = Cohort(scope.name, scope.manifest, scope.members, scope.combinations)
    questions = {column: None for column in ARM if 2 <= rated[column].n_unique() <= MOST_LEVELS}
    others = rated.filter(pl.col("same_family").fill_null(False).not_())
    has_kin = others.height < rated.height
    return Material(
        workspace=workspace,
        scope=scope,
        data=data,
        contrasts=build_contrasts(rated, questions),
        other_family_contrasts=build_contrasts(others, questions if has_kin else {}),
        other_family_effects=build_concept_effects(others if has_kin else others.clear(), data.combinations),
        status=read_cohort_status(workspace.store, cohort),
        times=read_call_times(workspace, scope.members),
        constructs=_order_constructs(workspace, data.ratings),
        rated=rated,
        texts_sent=count_texts(data.calls, workspace.catalogue),
    )


def count_without_essay(material: Material) -> int:
    """Evaluations that were not made because the essay that they would judge has no text."""
    no_essay = (pl.col("parse_status") == "not_made") & pl.col("essay_length_words").is_null()
    return material.ratings.filter(no_essay).height


def read_call_times(workspace: Workspace, members: Iterable[Member]) -> CallTimes:
    """When the stored responses were asked for, and who gave them; what damaged files say is not known."""
    asked = pl.DataFrame(
        [(member.gen_id, member.llm_model_id) for member in members],
        schema={"gen_id": pl.String(), "llm_model_id": pl.String()},
        orient="row",
    )
    answers = asked.join(read_answers(workspace), on="gen_id").filter(pl.col("input_mode").fill_null("") != "copy")
    started, finished = (answers[name].drop_nulls().to_list() for name in ("started_at", "finished_at"))
    return CallTimes(
        min(started, default=None),
        max(finished, default=None),
        _collect_names(answers, "model_answered"),
        _collect_names(answers, "provider"),
    )


def _collect_names(answers: pl.DataFrame, column: str) -> dict[str, frozenset[str]]:
    known = answers.filter(pl.col(column).is_not_null()).group_by("llm_model_id").agg(pl.col(column).unique())
    return {model_id: frozenset(names) for model_id, names in known.rows()}


def _order_constructs(workspace: Workspace, ratings: pl.DataFrame) -> list[str]:
    """In the order in which the rubrics stand in their file, so that what a run is about comes first."""
    place = {template_id: at for at, template_id in enumerate(workspace.catalogue.templates[Stage.EVALUATION])}
    first: dict[str, int] = {}
    for construct, template_id in ratings.select("construct", "evaluation_template").unique().rows():
        if construct is not None:
            first[construct] = min(first.get(construct, len(place)), place.get(template_id, len(place)))
    return sorted(first, key=lambda construct: (first[construct], construct))
