"""The data root and the experiment's settings, as Dagster resources that run config can change."""

import os

from dagster import ConfigurableResource, ResourceDependency
from pydantic import Field

from daydreaming_dagster.domain.catalogue import require_description_level
from daydreaming_dagster.domain.experiment_config import ExperimentConfig, StageConfig
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store.paths import DataPaths


class ExperimentConfigResource(ConfigurableResource):  # type: ignore[type-arg]
    """What run config may say about an experiment; what it leaves out comes from the environment or the defaults."""

    k_max: int | None = Field(default=None, description="Concepts per combination.")
    description_level: str | None = Field(
        default=None, description="Which text of a concept goes into draft prompts: sentence, paragraph or article."
    )
    draft_max_tokens: int | None = Field(default=None, description="Upper bound of a draft, in tokens.")
    essay_max_tokens: int | None = Field(default=None, description="Upper bound of an essay, in tokens.")
    evaluation_max_tokens: int | None = Field(default=None, description="Upper bound of an evaluation, in tokens.")
    draft_temperature: float | None = Field(default=None, description="Sampling temperature of drafts.")
    essay_temperature: float | None = Field(default=None, description="Sampling temperature of essays.")
    evaluation_temperature: float | None = Field(default=None, description="Sampling temperature of judges.")
    draft_min_lines: int | None = Field(default=None, description="Fewest non-empty lines of a usable draft.")
    essay_min_lines: int | None = Field(default=None, description="Fewest non-empty lines of a usable essay.")
    evaluation_min_lines: int | None = Field(default=None, description="Fewest non-empty lines of an evaluation.")
    draft_force: bool = Field(default=False, description="Call the model even when a usable draft is stored.")
    essay_force: bool = Field(default=False, description="Call the model even when a usable essay is stored.")
    evaluation_force: bool = Field(default=False, description="Call the model even when an evaluation is stored.")

    def resolve(self, settings: Settings) -> ExperimentConfig:
        """Run config over environment over defaults."""
        base = settings.experiment_config()

        def stage_config(stage: Stage) -> StageConfig:
            below = base.stages[stage]
            asked = {name: getattr(self, f"{stage}_{name}") for name in ("max_tokens", "temperature", "min_lines")}
            return StageConfig(
                **{name: getattr(below, name) if value is None else value for name, value in asked.items()},
                force=getattr(self, f"{stage}_force"),
            )

        return ExperimentConfig(
            k_max=base.k_max if self.k_max is None else self.k_max,
            description_level=(
                require_description_level(self.description_level) if self.description_level else base.description_level
            ),
            stages={stage: stage_config(stage) for stage in Stage},
        )


class WorkspaceResource(ConfigurableResource):  # type: ignore[type-arg]
    """The data root that assets read and write."""

    data_root: str | None = Field(default=None, description="Data root; DAYDREAMING_DATA_ROOT, else `data`.")
    experiment_config: ResourceDependency[ExperimentConfigResource]

    def open(self, cohort_override: str | None = None) -> Workspace:
        """The data root in use. An override names the cohort; without one DD_COHORT does, if it is set."""
        settings = Settings()
        paths = DataPaths.from_settings(settings)
        if self.data_root is not None:
            paths = DataPaths(type(paths.root)(self.data_root), settings.templates_root)
        return Workspace(
            paths=paths,
            config=self.experiment_config.resolve(settings),
            cohort_override=cohort_override or settings.cohort,
            environ=os.environ,
        )
