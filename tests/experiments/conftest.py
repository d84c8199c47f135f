from __future__ import annotations

from pathlib import Path

import pytest
from tests.experiments.rated_root import RatedRoot


@pytest.fixture
def root(tmp_path: Path) -> RatedRoot:
    return RatedRoot(tmp_path)
