"""Inputs to start from: the ones that travel with the package, copied into a data root."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.store.files import write_bytes
from daydreaming_dagster.store.paths import DataPaths

_PACKAGE = "daydreaming_dagster"


def copy_demo_inputs(data_root: Path) -> int:
    """Inputs small enough for the embedded model; what is there already stays. Returns the number of files written."""
    return _copy_inputs("demo_inputs", data_root)


def copy_starter_inputs(data_root: Path) -> int:
    """Inputs for real experiments; what is there already stays. Returns the number of files written.

    Raises:
        ConfigurationError: the package was installed without them.
    """
    return _copy_inputs("starter_inputs", data_root)


def _copy_inputs(name: str, data_root: Path) -> int:
    with as_file(files(_PACKAGE) / name) as folder:
        source = folder if folder.is_dir() else _find_in_checkout(folder)
        missing = [path for path in source.rglob("*") if path.is_file() and path.suffix in {".csv", ".txt"}]
        target = DataPaths(data_root).raw
        missing = [path for path in missing if not (target / path.relative_to(source)).exists()]
        for path in missing:
            write_bytes(target / path.relative_to(source), path.read_bytes())
    return len(missing)


def _find_in_checkout(packaged: Path) -> Path:
    # An editable install has no copy of the starter inputs: they are the checkout's own.
    checkout = packaged.parents[2] / "data" / "1_raw"
    if not checkout.is_dir():
        raise ConfigurationError(
            f"This installation of {_PACKAGE} has no inputs to start from.",
            fix="Install it from its wheel, or copy data/1_raw from a checkout.",
        )
    return checkout
