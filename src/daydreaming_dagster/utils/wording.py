"""Words for numbers, as people read them."""

from __future__ import annotations


def show_count(count: int, singular: str, plural: str = "") -> str:
    """`1 essay`, `1,200 essays`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
