"""Fixtures of Dagster homes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.experiments.rated_root import RatedRoot
from tests.fakes.data_root import write_rows

from .homes import BATCHED, STOCK, open_home
from .scene import Scene

_DAGSTERS_OWN = (
    "ignore:Property `OpDefinition.version`:DeprecationWarning",
    "ignore:Parameter `include_sources`",
    "ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning",
)
"""Warnings that Dagster gives about its own code."""


def pytest_itemcollected(item: pytest.Item) -> None:
    if "scene" in getattr(item, "fixturenames", ()):
        for warning in _DAGSTERS_OWN:
            item.add_marker(pytest.mark.filterwarnings(warning))


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


@pytest.fixture
def scene(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Three concepts, so three drafts, three essays and six evaluations; nothing is made yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    for name in ("DD_COHORT", "DD_K_MAX", "DD_DESCRIPTION_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    root = RatedRoot(tmp_path)
    scripted = {"endpoint": "openrouter", "kind": "scripted", "base_url": "", "api_key_env": "", "extra_body": ""}
    write_rows(root.paths.endpoints_csv, [scripted])
    with open_home(home, BATCHED) as instance:
        yield Scene(root, instance)
