"""Where every file of a data root lies. No other module spells a file name of the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daydreaming_dagster.domain.stages import Stage

if TYPE_CHECKING:
    from daydreaming_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class DataPaths:
    """The layout below one data root.

    Attributes:
        root: the data root (`data`, or `DAYDREAMING_DATA_ROOT`).
        templates_root: overrides `1_raw/templates` (`GEN_TEMPLATES_ROOT`); None keeps it.
    """

    root: Path
    templates_root: Path | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> DataPaths:
        """The layout that the environment asks for."""
        return cls(settings.data_root, settings.templates_root)

    # Inputs -----------------------------------------------------------------------------------------------------
    @property
    def raw(self) -> Path:  # noqa: D102
        return self.root / "1_raw"

    @property
    def concepts_csv(self) -> Path:  # noqa: D102
        return self.raw / "concepts_metadata.csv"

    def concept_description(self, level: str, concept_id: str) -> Path:
        """Text of one concept at one description level."""
        return self.raw / "concepts" / f"descriptions-{level}" / f"{concept_id}.txt"

    def templates_csv(self, stage: Stage) -> Path:
        """Table of a stage's templates."""
        return self.raw / f"{stage}_templates.csv"

    def template(self, stage: Stage, template_id: str) -> Path:
        """Jinja2 text of one template."""
        return (self.templates_root or self.raw / "templates") / stage / f"{template_id}.txt"

    @property
    def models_csv(self) -> Path:  # noqa: D102
        return self.raw / "llm_models.csv"

    @property
    def endpoints_csv(self) -> Path:  # noqa: D102
        return self.raw / "llm_endpoints.csv"

    @property
    def pools_csv(self) -> Path:  # noqa: D102
        return self.raw / "llm_pools.csv"

    @property
    def replication_csv(self) -> Path:  # noqa: D102
        return self.raw / "replication_config.csv"

    # Selections and combinations ----------------------------------------------------------------------------------
    @property
    def tasks(self) -> Path:  # noqa: D102
        return self.root / "2_tasks"

    @property
    def selected_combos_csv(self) -> Path:
        """Combinations of the next cohort, generated or edited by hand."""
        return self.tasks / "selected_combo_mappings.csv"

    @property
    def selected_essays(self) -> Path:  # noqa: D102
        return self.tasks / "selected_essays.txt"

    @property
    def selected_drafts(self) -> Path:  # noqa: D102
        return self.tasks / "selected_drafts.txt"

    @property
    def combo_registry_csv(self) -> Path:
        """Append-only registry of every combination ever used."""
        return self.root / "combo_mappings.csv"

    # Cohorts ------------------------------------------------------------------------------------------------------
    @property
    def cohorts(self) -> Path:  # noqa: D102
        return self.root / "cohorts"

    def cohort(self, cohort_id: str) -> Path:
        """Folder of one cohort."""
        return self.cohorts / cohort_id

    def manifest(self, cohort_id: str) -> Path:
        """What the cohort was made from."""
        return self.cohort(cohort_id) / "manifest.json"

    def membership(self, cohort_id: str) -> Path:
        """The cohort's generations."""
        return self.cohort(cohort_id) / "membership.csv"

    # Generations --------------------------------------------------------------------------------------------------
    @property
    def gens(self) -> Path:  # noqa: D102
        return self.root / "gens"

    def stage(self, stage: Stage) -> Path:
        """Folder of all generations of a stage."""
        return self.gens / stage

    def generation(self, stage: Stage, gen_id: str) -> Path:
        """Folder of one generation."""
        return self.gens / stage / gen_id

    # Tables and what belongs to nobody's eyes -----------------------------------------------------------------------
    @property
    def parsing(self) -> Path:  # noqa: D102
        return self.root / "5_parsing"

    @property
    def summary(self) -> Path:  # noqa: D102
        return self.root / "6_summary"

    @property
    def cross_experiment(self) -> Path:  # noqa: D102
        return self.root / "7_cross_experiment"

    @property
    def human(self) -> Path:  # noqa: D102
        return self.root / "8_human"

    @property
    def human_ratings(self) -> Path:
        """What people said, a line per rating, in the order in which it came."""
        return self.human / "ratings.jsonl"

    @property
    def experiments(self) -> Path:  # noqa: D102
        return self.root / "experiments"

    @property
    def state(self) -> Path:
        """Journal, ledger, index and locks; all but journal and ledger can be rebuilt from the other files."""
        return self.root / ".daydreaming"

    @property
    def generated_combos(self) -> Path:
        """What `selected_combo_mappings.csv` held when it was generated last."""
        return self.state / "generated_combinations.json"

    @property
    def journal(self) -> Path:
        """Journals of processes that are running, or were killed."""
        return self.state / "journal"

    @property
    def owners(self) -> Path:
        """Locks of the runs that are alive."""
        return self.state / "owners"

    @property
    def ledger(self) -> Path:
        """Every call that was ever sent, budgets, and what belongs to which run."""
        return self.state / "ledger.sqlite"

    @property
    def index(self) -> Path:
        """Summaries of all generations."""
        return self.state / "index.sqlite"

    @property
    def search_index(self) -> Path:
        """What the explorer asks: titles, scores, cohorts and every word of all generations."""
        return self.state / "search.sqlite"

    def pool(self, pool: str) -> Path:
        """Locks and counts of one pool's limits, shared by all processes."""
        return self.state / "pools" / pool

    @property
    def forecasts(self) -> Path:
        """What was expected of each run, and what came of it."""
        return self.state / "forecasts"

    @property
    def provider_batches(self) -> Path:
        """Batches that lie at a provider."""
        return self.state / "batches"

    def registration(self, cohort_id: str) -> Path:
        """Generations of a cohort that were registered as partitions."""
        return self.state / "registered" / f"{cohort_id}.txt"


METADATA = "metadata.json"
PROMPT = "prompt.txt"
RAW = "raw.txt"
RAW_METADATA = "raw_metadata.json"
PARSED = "parsed.txt"
PARSED_METADATA = "parsed_metadata.json"
VERSIONS = "versions"
