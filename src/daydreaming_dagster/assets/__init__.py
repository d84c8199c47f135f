"""Dagster assets, one file per group."""

import warnings

from dagster import BetaWarning

# Dagster is pinned to one minor version; users need not read on every start which of its parts are marked as beta.
for _part in ("Parameter `backfill_policy`", "Parameter `include_sources`", "Function `observable_source_asset`"):
    warnings.filterwarnings("ignore", message=_part, category=BetaWarning)
