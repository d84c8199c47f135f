"""`daydreaming asset-map`: which assets there are, in which group, and where each is written."""

from __future__ import annotations

from typing import Annotated

import typer


def asset_map(
    group: Annotated[str | None, typer.Option(help="Only the assets of this group.")] = None,
) -> None:
    """List all assets as `asset_key | group | file:line`."""
    from daydreaming_dagster.cli.asset_places import list_asset_places

    for place in list_asset_places():
        if group in (None, place.group):
            print(f"{place.key} | {place.group} | {place.file}:{place.line}")
