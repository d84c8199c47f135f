"""Every environment variable, once. `.env.example` lists them for people.

Order of precedence for experiment settings: Dagster run config, then CLI options, then these variables, then the
defaults here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from daydreaming_dagster.domain.catalogue import DescriptionLevel
from daydreaming_dagster.domain.errors import UsageError
from daydreaming_dagster.domain.experiment_config import ExperimentConfig, StageConfig
from daydreaming_dagster.domain.stages import Stage

DEFAULT_DATA_ROOT = Path("data")


class Settings(BaseSettings):
    """The environment of one process. Keys of model providers are not here: each endpoint names its own variable."""

    model_config = SettingsConfigDict(env_prefix="DD_", env_file=".env", extra="ignore", frozen=True)

    def __init__(self, **values: Any) -> None:
        """Reads the environment and `.env`.

        Raises:
            UsageError: a variable's value cannot be used.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _explain(error) from error

    data_root: Path = Field(default=DEFAULT_DATA_ROOT, validation_alias="DAYDREAMING_DATA_ROOT")
    templates_root: Path | None = Field(default=None, validation_alias="GEN_TEMPLATES_ROOT")
    cohort: str | None = None
    executor: Literal["in_process", "multiprocess"] = "in_process"
    people_judge: bool = False
    embedder: Literal["hashing", "wordllama"] = "hashing"
    explorer_url: str = "http://127.0.0.1:8765"
    k_max: PositiveInt = 2
    description_level: DescriptionLevel = "paragraph"
    draft_max_tokens: PositiveInt = 4096
    essay_max_tokens: PositiveInt = 8192
    evaluation_max_tokens: PositiveInt = 4096
    draft_temperature: NonNegativeFloat = 0.9
    essay_temperature: NonNegativeFloat = 0.7
    evaluation_temperature: NonNegativeFloat = 0.1
    draft_min_lines: NonNegativeInt = 3
    essay_min_lines: NonNegativeInt = 1
    evaluation_min_lines: NonNegativeInt = 1

    def experiment_config(self) -> ExperimentConfig:
        """What the environment says about the experiment."""
        return ExperimentConfig(
            k_max=self.k_max,
            description_level=self.description_level,
            stages={
                stage: StageConfig(
                    max_tokens=getattr(self, f"{stage}_max_tokens"),
                    temperature=getattr(self, f"{stage}_temperature"),
                    min_lines=getattr(self, f"{stage}_min_lines"),
                )
                for stage in Stage
            },
        )


def _explain(error: ValidationError) -> UsageError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    variable = name if name.isupper() else f"DD_{name.upper()}"
    return UsageError(
        f"The setting {variable} cannot be {first['input']!r}: {first['msg']}.",
        fix="Correct it where it was set: an option, the shell or .env. docs/operating_guide.md lists all settings.",
    )
