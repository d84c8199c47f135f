"""What a user gets who installs the package instead of cloning the repository."""

from __future__ import annotations

import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src"
INPUTS = REPOSITORY / "data" / "1_raw"

pytestmark = pytest.mark.slow


def run(*command: str | Path, directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def list_files(folder: Path) -> set[str]:
    """Paths below the folder, without what Python leaves there."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in files if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", folder, directory=REPOSITORY)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """An environment with nothing in it but the wheel and what the wheel asks for, as of the date of this project."""
    folder = tmp_path_factory.mktemp("installed")
    newest = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    run(find_uv_bin(), "venv", "--quiet", folder / "venv", directory=folder)
    python = folder / "venv" / "bin" / "python"
    install = (find_uv_bin(), "pip", "install", "--quiet", "--python", python, "--exclude-newer", newest, wheel)
    run(*install, directory=folder)
    return folder


def test_the_wheel_holds_the_package_and_what_a_user_starts_from_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    starter_inputs = {f"daydreaming_dagster/starter_inputs/{name}" for name in list_files(INPUTS)}
    assert packed == list_files(SOURCE) | starter_inputs | {"daydreaming_dagster/resources/dagster.yaml"}


def test_the_definitions_load_where_only_the_wheel_is_installed(environment: Path) -> None:
    look = (
        "import daydreaming_dagster.definitions as found; print(found.__file__);"
        "print(len(found.defs.resolve_asset_graph().get_all_asset_keys()))"
    )
    place, assets = run(environment / "venv" / "bin" / "python", "-c", look, directory=environment).split()
    assert Path(place).is_relative_to(environment)
    assert int(assets) > 0


def test_the_command_works_where_only_the_wheel_is_installed(environment: Path) -> None:
    assert "Usage: daydreaming" in run(environment / "venv" / "bin" / "daydreaming", "--help", directory=environment)
