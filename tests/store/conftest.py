from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.data_root import DataRoot


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path / "data")
