"""Every environment variable, once. `.env.example` lists them for people.

Order of precedence for experiment settings: Dagster run config, then CLI options, then these variables, then the
defaults here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from daydreaming_dagster.domain.catalogue import DESCRIPTION_LEVELS, DescriptionLevel
from daydreaming_dagster.domain.errors import UsageError
from daydreaming_dagster.domain.experiment_config import ExperimentConfig, StageConfig
from daydreaming_dagster.domain.stages import Stage

DEFAULT_DATA_ROOT = Path("data")
_FLAGS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


def _read_flag(text: str) -> bool:
    if text.strip().lower() not in _FLAGS:
        raise ValueError("it is neither true nor false")
    return _FLAGS[text.strip().lower()]


def _read_temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("it is no number") from None
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError("it must be at least 0")
    return value


def _whole_number(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("it is no whole number") from None
        if value < least:
            raise ValueError(f"it must be at least {least}")
        return value

    return read


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"it must be one of {', '.join(names)}")
        return text

    return read


def _text(read: Callable[[str], Any], variable: str = "") -> dict[str, Any]:
    """Of a field of `Settings`: how its text is read, and its variable where that is not `DD_` and the field's name."""
    return {"read": read, "variable": variable}


@dataclass(frozen=True, init=False)
class Settings:
    """The environment of one process. Keys of model providers are not here: each endpoint names its own variable.

    A plain dataclass, because every command begins here: a library of settings takes longer to import than many a
    command to end.
    """

    data_root: Path = field(default=DEFAULT_DATA_ROOT, metadata=_text(Path, "DAYDREAMING_DATA_ROOT"))
    templates_root: Path | None = field(default=None, metadata=_text(Path, "GEN_TEMPLATES_ROOT"))
    cohort: str | None = field(default=None, metadata=_text(str))
    executor: Literal["in_process", "multiprocess"] = field(
        default="in_process", metadata=_text(_one_of("in_process", "multiprocess"))
    )
    people_judge: bool = field(default=False, metadata=_text(_read_flag))
    embedder: Literal["hashing", "wordllama"] = field(
        default="hashing", metadata=_text(_one_of("hashing", "wordllama"))
    )
    explorer_url: str = field(default="http://127.0.0.1:8765", metadata=_text(str))
    k_max: int = field(default=2, metadata=_text(_whole_number(1)))
    description_level: DescriptionLevel = field(default="paragraph", metadata=_text(_one_of(*DESCRIPTION_LEVELS)))
    draft_max_tokens: int = field(default=4096, metadata=_text(_whole_number(1)))
    essay_max_tokens: int = field(default=8192, metadata=_text(_whole_number(1)))
    evaluation_max_tokens: int = field(default=4096, metadata=_text(_whole_number(1)))
    draft_temperature: float = field(default=0.9, metadata=_text(_read_temperature))
    essay_temperature: float = field(default=0.7, metadata=_text(_read_temperature))
    evaluation_temperature: float = field(default=0.1, metadata=_text(_read_temperature))
    draft_min_lines: int = field(default=3, metadata=_text(_whole_number(0)))
    essay_min_lines: int = field(default=1, metadata=_text(_whole_number(0)))
    evaluation_min_lines: int = field(default=1, metadata=_text(_whole_number(0)))

    def __init__(self) -> None:
        """Reads the environment and, where that says nothing, `.env`.

        Raises:
            UsageError: a variable's value cannot be used.
        """
        environment = _read_environment()
        for each in fields(self):
            variable = each.metadata["variable"] or f"DD_{each.name.upper()}"
            value = each.default
            if (text := environment.get(variable)) is not None:
                try:
                    value = each.metadata["read"](text)
                except ValueError as error:
                    raise UsageError(
                        f"The setting {variable} cannot be {text!r}: {error}.",
                        fix="Correct it where it was set: an option, the shell or .env. docs/operating_guide.md lists "
                        "all settings.",
                    ) from error
            object.__setattr__(self, each.name, value)

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


def _read_environment() -> Mapping[str, str | None]:
    """Values by name in capitals: the case of names does not matter."""
    known: dict[str, str | None] = {}
    if Path(".env").is_file():
        from dotenv import dotenv_values

        known = {name.upper(): value for name, value in dotenv_values(".env").items()}
    return known | {name.upper(): value for name, value in os.environ.items()}
