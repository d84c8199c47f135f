from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from importlinter.cli import lint_imports

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def read_contract(contract_id: str) -> dict[str, Any]:
    contracts = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["id"] == contract_id)


def test_every_import_points_down(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lint_imports(config_filename=str(PYPROJECT), no_cache=True, no_logo=True)
    assert not broken, capsys.readouterr().out


def test_every_layer_below_the_dagster_line_is_forbidden_to_import_dagster() -> None:
    layers = read_contract("layers")["layers"]
    below = layers[layers.index("explorer | resources") + 1 :]
    packages = {f"daydreaming_dagster.{name}" for layer in below for name in layer.split(" | ")}
    assert set(read_contract("dagster")["source_modules"]) == packages | {"daydreaming_dagster.explorer"}


@pytest.mark.parametrize(
    "module",
    ["cli.main", "engine", "experiments", "analysis", "store", "llm", "settings", "utils", "domain", "explorer"],
)
def test_dagster_is_not_loaded_by_importing(module: str) -> None:
    """A process of its own: in this one, other tests have loaded Dagster. What starts quickly must not load it."""
    look = f"import daydreaming_dagster.{module}, sys; print({{'dagster', 'polars'}} & set(sys.modules) or 'neither')"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "neither\n"
