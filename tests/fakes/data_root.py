"""A small data root in a temporary folder: valid inputs that a test changes one at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.experiment_config import ExperimentConfig, StageConfig
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cohorts import CohortPlan, plan_cohort, write_cohort
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.raw_inputs import read_catalogue

CONCEPTS = ("mind-wandering", "economic-moat", "flywheel")
TEMPLATES = {
    Stage.DRAFT: {"notes": "{% for concept in concepts %}{{ concept.name }}: {{ concept.content }}\n{% endfor %}"},
    Stage.ESSAY: {"narrative": "Write about: {{ draft_block }}"},
    Stage.EVALUATION: {"novelty": "Judge: {{ response }}", "coherence": "Judge: {{ response }}"},
}


class DataRoot:
    """Three concepts, one draft and one essay template, two rubrics, one writer, one judge, one replicate each."""

    def __init__(self, folder: Path) -> None:
        self.paths = DataPaths(folder)
        self.store = GenerationStore(self.paths)
        self.write_concepts(CONCEPTS)
        for stage, templates in TEMPLATES.items():
            self.write_templates(stage, templates)
        self.write_models(writers=["writer"], judges=["judge"])
        self.write_replicates()

    # Inputs -------------------------------------------------------------------------------------------------------
    def write_concepts(self, active: Iterable[str], inactive: Iterable[str] = ()) -> None:
        rows = [{"concept_id": name, "name": name.title(), "active": "True"} for name in active]
        rows += [{"concept_id": name, "name": name.title(), "active": "False"} for name in inactive]
        write_rows(self.paths.concepts_csv, rows)
        for row in rows:
            self.write(self.paths.concept_description("paragraph", row["concept_id"]), f"About {row['concept_id']}.\n")

    def write_templates(self, stage: Stage, templates: Mapping[str, str], **columns: str) -> None:
        parser = "in_last_line" if stage is Stage.EVALUATION else ""
        rows = [
            {
                "template_id": template_id,
                "template_name": template_id.title(),
                "description": "",
                "parser": parser,
                "generator": "llm",
                "active": "True",
                **columns,
            }
            for template_id in templates
        ]
        write_rows(self.paths.templates_csv(stage), rows)
        for template_id, source in templates.items():
            self.write(self.paths.template(stage, template_id), source)

    def write_models(self, writers: Iterable[str], judges: Iterable[str]) -> None:
        writers, judges = list(writers), list(judges)
        rows = [
            {
                "id": name,
                "model": f"maker/{name}",
                "provider": "maker",
                "display_name": name.title(),
                "for_generation": str(name in writers),
                "for_evaluation": str(name in judges),
                "specialization": "",
            }
            for name in dict.fromkeys([*writers, *judges])
        ]
        write_rows(self.paths.models_csv, rows)

    def write_replicates(self, draft: int = 1, essay: int = 1, evaluation: int = 1) -> None:
        rows = [
            {"stage": "draft", "replicates": str(draft)},
            {"stage": "essay", "replicates": str(essay)},
            {"stage": "evaluation", "replicates": str(evaluation)},
        ]
        write_rows(self.paths.replication_csv, rows)

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())

    def select_essays(self, *lines: str) -> None:
        self.write(self.paths.selected_essays, "\n".join(lines) + "\n")

    def select_drafts(self, *lines: str) -> None:
        self.write(self.paths.selected_drafts, "\n".join(lines) + "\n")

    # Cohorts ------------------------------------------------------------------------------------------------------
    def read_catalogue(self) -> Catalogue:
        return read_catalogue(self.paths)

    def plan(self, override: str | None = None, k_max: int = 2) -> CohortPlan:
        return plan_cohort(
            self.paths, self.read_catalogue(), make_config(k_max), override=override, existing=self.store
        )

    def build(self, override: str | None = None, k_max: int = 2) -> CohortPlan:
        plan = self.plan(override, k_max)
        write_cohort(self.paths, plan)
        return plan

    def generate(self, members: Iterable[Member]) -> None:
        """Leaves of each member what a run leaves first: its metadata."""
        for member in members:
            self.store.write_metadata(GenerationMetadata.of_member(member))


def make_config(k_max: int = 2) -> ExperimentConfig:
    """Settings that tests do not care about, but for the combination size."""
    return ExperimentConfig(k_max, "paragraph", {stage: StageConfig(100, 0.5, 1) for stage in Stage})


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes a CSV with the columns of the first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def of_stage(members: Iterable[Member], stage: Stage) -> list[Member]:
    """The members of one stage, in order."""
    return [member for member in members if member.stage is stage]
