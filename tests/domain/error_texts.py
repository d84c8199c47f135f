"""What the code can say: its strings, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import daydreaming_dagster

SOURCE = Path(daydreaming_dagster.__file__).parent


def read_texts() -> Iterator[tuple[str, str]]:
    """Place and text of every string of the code, with … for what is known only when it is said."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, (ast.Constant, ast.JoinedStr)) and id(node) not in inside:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", spell(node, path)


def spell(node: ast.expr, path: Path) -> str:
    """The text of an expression, with … for what is known only when it happens and constants of the module put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(spell(part, path) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return spell(node.value, path)
    if isinstance(node, ast.BinOp):
        return spell(node.left, path) + spell(node.right, path)
    if isinstance(node, ast.BoolOp):
        return spell(node.values[-1], path)
    if isinstance(node, ast.Name):
        module = import_module("daydreaming_dagster." + ".".join(path.relative_to(SOURCE).with_suffix("").parts))
        value = getattr(module, node.id, None)
        return value if isinstance(value, str) else "…"
    return "…"
