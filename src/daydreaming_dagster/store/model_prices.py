"""Writes prices into the table of models, and leaves every other cell of it as it stands."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from daydreaming_dagster.store.files import read_text, write_text

_COLUMNS = ("price_prompt", "price_completion")


def write_model_prices(path: Path, prices: Mapping[str, tuple[float, float]]) -> None:
    """Sets the prices of some models; the columns are added when the table lacks them.

    Args:
        path: `llm_models.csv`, which can be read (`read_catalogue`).
        prices: by model id, prompt and completion in USD per token.

    Raises:
        StoreError: the file cannot be read or written.
    """
    text = read_text(path)
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    start = next(number for number, row in enumerate(rows) if any(cell.strip() for cell in row))
    header = rows[start]
    names = [name.strip().lower() for name in header]
    for column in _COLUMNS:
        if column not in names:
            names.append(column)
            header.append(column)
    for row in rows[start + 1 :]:
        if any(cell.strip() for cell in row) and (told := prices.get(row[names.index("id")].strip())):
            row.extend([""] * (len(names) - len(row)))
            for column, price in zip(_COLUMNS, told, strict=True):
                row[names.index(column)] = _show_price(price)
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    write_text(path, written.getvalue())


def _show_price(price: float) -> str:
    """Without an exponent, which spreadsheets round away."""
    return f"{Decimal(repr(price)):f}"
