"""A checkout in which everything was made once; tests copy it instead of making it again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.guide.shell import GuideShell


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drafts, four essays, 24 evaluations and their tables; never written to by tests."""
    shell = GuideShell(tmp_path_factory.mktemp("finished") / "checkout")
    shell.require("daydreaming run --quiet && daydreaming aggregate-scores")
    return shell.folder


@pytest.fixture
def fresh_shell(tmp_path: Path) -> GuideShell:
    """A checkout in which nothing was made."""
    return GuideShell(tmp_path / "checkout")


@pytest.fixture
def shell(tmp_path: Path, finished: Path) -> GuideShell:
    """A checkout of the test's own in which everything is made."""
    return GuideShell(tmp_path / "checkout", like=finished)
