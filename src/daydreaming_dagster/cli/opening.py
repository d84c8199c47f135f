"""Opens the data root for commands that need no Dagster."""

from __future__ import annotations

import os
import sys

from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store.cache_files import can_write
from daydreaming_dagster.store.paths import DataPaths


def open_workspace(cohort: str | None = None) -> Workspace:
    """The data root that environment and `.env` name."""
    settings = Settings()
    paths = DataPaths.from_settings(settings)
    read_only = not can_write(paths.index)
    if read_only:
        print(f"{paths.root} cannot be written to: it is read, and nothing is remembered.", file=sys.stderr)
    return Workspace(
        paths=paths,
        config=settings.experiment_config(),
        cohort_override=cohort or settings.cohort,
        environ=os.environ,
        read_only=read_only,
    )
