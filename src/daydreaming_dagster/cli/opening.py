"""Opens the data root for commands that need no Dagster."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from daydreaming_dagster.domain.catalogue import require_description_level
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store.cache_files import can_write
from daydreaming_dagster.store.paths import DataPaths


def open_workspace(
    cohort: str | None = None, *, k_max: int | None = None, description_level: str | None = None
) -> Workspace:
    """The data root that environment and `.env` name; what is given here goes before them."""
    settings = Settings()
    config = settings.experiment_config()
    if k_max is not None:
        config = replace(config, k_max=k_max)
    if description_level is not None:
        config = replace(config, description_level=require_description_level(description_level))
    paths = DataPaths.from_settings(settings)
    read_only = not can_write(paths.index)
    if read_only:
        print(f"{paths.root} cannot be written to: it is read, and nothing is remembered.", file=sys.stderr)
    return Workspace(
        paths=paths,
        config=config,
        cohort_override=cohort or settings.cohort,
        environ=os.environ,
        read_only=read_only,
    )
