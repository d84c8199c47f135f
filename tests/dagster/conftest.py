"""Fixtures of Dagster homes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .homes import STOCK, open_home


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which nothing has happened, but whose tables exist: to make them takes seconds."""
    home = tmp_path_factory.mktemp("empty") / "home"
    with open_home(home, STOCK) as instance:
        instance.get_runs()
    return home


@pytest.fixture
def home(tmp_path: Path, empty_home: Path) -> Path:
    """A home of the test's own, at `tmp_path / "home"`."""
    return Path(shutil.copytree(empty_home, tmp_path / "home"))
