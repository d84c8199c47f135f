"""Where each asset is written, from the code that Dagster would run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import AssetsDefinition, SourceAsset

from daydreaming_dagster import definitions


@dataclass(frozen=True, slots=True)
class AssetPlace:
    """One asset; `file` as it would be typed in the working directory, `line` counts from 1."""

    key: str
    group: str
    file: str
    line: int


def list_asset_places() -> list[AssetPlace]:
    """All assets in the order in which they follow from each other."""
    graph = definitions.defs.resolve_asset_graph()
    order = {key: number for number, key in enumerate(graph.toposorted_asset_keys)}
    places = [(order[asset.key], _build_place(asset)) for asset in definitions.ASSETS]
    return [place for _, place in sorted(places, key=lambda pair: pair[0])]


def _build_place(asset: AssetsDefinition | SourceAsset) -> AssetPlace:
    function = _find_function(asset)
    path = Path(inspect.getsourcefile(function) or "")
    group = asset.group_name if isinstance(asset, SourceAsset) else asset.group_names_by_key[asset.key]
    return AssetPlace(asset.key.to_user_string(), group, _shorten(path), inspect.getsourcelines(function)[1])


def _find_function(asset: AssetsDefinition | SourceAsset) -> Callable[..., Any]:
    compute: Any = asset.observe_fn if isinstance(asset, SourceAsset) else asset.op.compute_fn
    function: Callable[..., Any] = inspect.unwrap(getattr(compute, "decorated_fn", compute))
    return function


def _shorten(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
