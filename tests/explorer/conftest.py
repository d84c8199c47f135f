from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.explorer.readable_store import ReadableStore


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadableStore]:
    """A store that tests only read."""
    store = ReadableStore(tmp_path_factory.mktemp("filled") / "data")
    store.fill()
    yield store
    store.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[ReadableStore]:
    """Inputs and nothing made from them yet."""
    store = ReadableStore(tmp_path / "empty" / "data")
    yield store
    store.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ReadableStore]:
    """A filled store that the test may change."""
    store = ReadableStore(tmp_path / "data")
    store.fill()
    yield store
    store.close()
