"""Opens the data root for commands that need no Dagster."""

from __future__ import annotations

import os

from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store.paths import DataPaths


def open_workspace(cohort: str | None = None) -> Workspace:
    """The data root that environment and `.env` name."""
    settings = Settings()
    return Workspace(
        paths=DataPaths.from_settings(settings),
        config=settings.experiment_config(),
        cohort_override=cohort or settings.cohort,
        environ=os.environ,
    )
