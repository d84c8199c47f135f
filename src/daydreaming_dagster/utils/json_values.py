"""Values out of JSON that a stranger wrote: each has the asked type, or is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_EMPTY: dict[str, Any] = {}


def as_mapping(value: Any) -> Mapping[str, Any]:
    """An object; empty for anything else."""
    return value if isinstance(value, dict) else _EMPTY


def as_text(value: Any) -> str | None:
    """A text with something in it; None for anything else."""
    return value if isinstance(value, str) and value else None


def as_int(value: Any) -> int | None:
    """A whole number; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_float(value: Any) -> float | None:
    """A finite number, or a text that holds one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
