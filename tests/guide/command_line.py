"""What words the command line knows, to hold messages and documents to it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import typer.main

from daydreaming_dagster.cli.main import app

_SAID = re.compile(r"(?<![\w./-])daydreaming ((?:--[\w-]+ (?:[\w/]+ )?)?)([a-z][a-z-]+)([^`\n;|&()]*)")
_OPTION = re.compile(r"(?<!\S)--[\w-]+")


def find_unknown_words(text: str) -> list[str]:
    """Commands and options of `daydreaming` in a text that the command line does not have."""
    common, commands = _read_command_line()
    unknown = []
    for said in _SAID.finditer(text):
        options = commands.get(said[2])
        if options is None:
            unknown.append(said[0])
            continue
        used = [*_OPTION.findall(said[1]), *_OPTION.findall(said[3])]
        unknown += [f"{said[2]} {option}" for option in used if option not in common | options]
    return unknown


@cache
def _read_command_line() -> tuple[set[str], dict[str, set[str]]]:
    """Options of all commands, and of each."""
    group: Any = typer.main.get_command(app)
    return _read_options(group) | {"--help"}, {name: _read_options(known) for name, known in group.commands.items()}


def _read_options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
