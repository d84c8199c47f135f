"""What Dagster shows of a written table: path, size and its first rows."""

from typing import Any

from dagster import MaterializeResult, MetadataValue, TableColumn, TableSchema

from daydreaming_dagster.experiments.result_tables import WrittenTable

_SHOWN_ROWS = 8
_SHOWN_COLUMNS = 12


def describe_table(written: WrittenTable, **facts: Any) -> MaterializeResult[None]:
    """Metadata of a table; `facts` are shown beside it."""
    table = written.table
    columns = [TableColumn(name, str(dtype)) for name, dtype in table.schema.items()]
    return MaterializeResult(
        metadata={
            "path": MetadataValue.path(written.path),
            "dagster/row_count": len(table),
            "dagster/column_schema": TableSchema(columns),
            "preview": MetadataValue.md(_preview(written)),
            **facts,
        }
    )


def _preview(written: WrittenTable) -> str:
    shown = written.table.head(_SHOWN_ROWS).select(written.table.columns[:_SHOWN_COLUMNS])
    lines = ["| " + " | ".join(shown.columns) + " |", "|" + "---|" * len(shown.columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in shown.iter_rows()]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")[:60]
