"""Which Dagster instance the command line uses, and its configuration where there is none yet."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store.files import write_text

if TYPE_CHECKING:
    from dagster import DagsterInstance

HOME_VARIABLE = "DAGSTER_HOME"
_CONFIGURATION = "dagster.yaml"


def open_instance(home: Path | None = None) -> DagsterInstance:
    """The instance of `home`, of DAGSTER_HOME, of `.env`, or of `dagster_home` in the working directory.

    A home without a `dagster.yaml` gets the one that travels with the package.

    Raises:
        StoreError: there is none to give.
    """
    from dagster import DagsterInstance

    chosen = (home or find_home()).absolute()
    os.environ[HOME_VARIABLE] = str(chosen)
    if not (chosen / _CONFIGURATION).exists():
        write_text(chosen / _CONFIGURATION, _read_configuration())
    return DagsterInstance.get()


def find_home() -> Path:
    """Dagster's folder as environment, `.env` or the working directory name it; it need not exist."""
    if value := os.environ.get(HOME_VARIABLE):
        return Path(value)
    from dotenv import dotenv_values

    return Path(dotenv_values(".env").get(HOME_VARIABLE) or "dagster_home")


def _read_configuration() -> str:
    packaged = Path(str(files("daydreaming_dagster"))) / "resources" / _CONFIGURATION
    if packaged.is_file():
        return packaged.read_text()
    checkout = packaged.parents[3] / "dagster_home" / _CONFIGURATION
    if not checkout.is_file():
        raise StoreError(
            f"{checkout} is gone, and it is the configuration that a new Dagster home is made from.",
            fix="Put it back: git checkout -- dagster_home",
            reason="configuration_missing",
        )
    return checkout.read_text()
