"""`daydreaming parse`: what a parser makes of any text, and why; nothing is stored."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer


def parse(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Texts to read; - is standard input.")],
    parser: Annotated[str, typer.Option(help="As in the parser column of the templates' tables.")],
    scale_min: Annotated[float, typer.Option(help="Bottom of the rubric's scale.")] = 0.0,
    scale_max: Annotated[float, typer.Option(help="Top of the rubric's scale.")] = 9.0,
) -> None:
    """Show what a parser would read in a text: a line per file, exit code 1 if one is refused."""
    _require_known(parser)
    if not (math.isfinite(scale_min) and math.isfinite(scale_max) and scale_min <= scale_max):
        raise typer.BadParameter("the bottom of the scale must not lie above its top", param_hint="--scale-min")
    refused = False
    for file in files:
        is_read, outcome = _describe(parser, file, scale_min, scale_max)
        refused = refused or not is_read
        print(f"{file}: {outcome}")
    if refused:
        raise typer.Exit(1)


def _require_known(parser: str) -> None:
    from daydreaming_dagster.domain.errors import ConfigurationError
    from daydreaming_dagster.domain.score_parsers import SCORE_PARSERS
    from daydreaming_dagster.utils.draft_parsers import DRAFT_PARSERS

    if parser not in SCORE_PARSERS and parser not in DRAFT_PARSERS:
        raise ConfigurationError(
            f"Unknown parser '{parser}'; for evaluations: {', '.join(sorted(SCORE_PARSERS))}; "
            f"for drafts: {', '.join(sorted(DRAFT_PARSERS))}.",
            fix="Name one of them: daydreaming parse --parser in_last_line FILE",
            reason="parser_unknown",
            culprits={"parser": parser},
        )


def _describe(parser: str, file: Path, scale_min: float, scale_max: float) -> tuple[bool, str]:
    """Whether the file was read, and what or why not, on one line."""
    from daydreaming_dagster.domain.errors import ResponseError
    from daydreaming_dagster.domain.score_parsers import SCORE_PARSERS, Scale, parse_score
    from daydreaming_dagster.utils.draft_parsers import parse_draft

    try:
        text = _read(file)
        if parser in SCORE_PARSERS:
            return True, str(parse_score(parser, text, Scale(scale_min, scale_max)))
        parsed = parse_draft(parser, text)
    except ResponseError as error:
        return False, f"refused, {error.culprits['code']}: {' '.join(str(error.culprits['why']).split())}"
    except OSError as error:
        return False, f"refused, unreadable: {error.strerror or error}"
    except UnicodeDecodeError as error:
        return False, f"refused, not_utf8: byte {error.start} is not UTF-8"
    first_line = next((line.strip() for line in parsed.splitlines() if line.strip()), "")
    return True, f"{len(parsed):,} characters: {first_line if len(first_line) <= 80 else f'{first_line[:80]}…'}"


def _read(file: Path) -> str:
    data = typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
    return data.decode("utf-8").replace("\r\n", "\n")
