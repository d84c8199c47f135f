"""Words for numbers and names, as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def show_count(count: int, singular: str, plural: str = "") -> str:
    """`1 essay`, `1,200 essays`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def suggest(name: str, known: Iterable[str], most: int = 1) -> str:
    """`; is 'x' meant?` with the known names that are most like this one, or nothing where none is."""
    by_lower = {other.lower(): other for other in sorted(known)}
    near = [f"'{by_lower[other]}'" for other in get_close_matches(name.lower(), by_lower, most)]
    return f"; is {' or '.join(near)} meant?" if near else ""
