"""`daydreaming models`: who may write and judge, at which price, and whether the endpoints still offer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from daydreaming_dagster.cli.exit_codes import EXIT_INCOMPLETE, EXIT_OK

if TYPE_CHECKING:
    from daydreaming_dagster.domain.catalogue import Model
    from daydreaming_dagster.experiments.model_offers import ModelFinding, Offers
    from daydreaming_dagster.store.paths import DataPaths


def models(
    all_models: Annotated[
        bool, typer.Option("--all", help="Also those that neither write nor judge at the moment.")
    ] = False,
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask each endpoint whether it offers them, and at which price. Costs nothing.")
    ] = False,
    write_prices: Annotated[
        bool, typer.Option("--write-prices", help="Ask, and write prices that differ into llm_models.csv.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what --write-prices would write.")] = False,
) -> None:
    """Show the table of models. With --ask, exit code 3 when a row of it is not as the endpoints say."""
    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.store.raw_inputs import read_catalogue

    workspace = open_workspace()
    catalogue = read_catalogue(workspace.paths)
    shown = {
        name: model
        for name, model in catalogue.models.items()
        if all_models or model.for_generation or model.for_evaluation
    }
    _print_table(list(shown.values()))
    if len(shown) < len(catalogue.models):
        print_line(f"[dim]{len(catalogue.models) - len(shown)} more are not in use: --all[/]")
    if not ask and not write_prices:
        return
    import asyncio
    from datetime import UTC, datetime

    from daydreaming_dagster.experiments.model_offers import compare_with_offers, fetch_offers

    offers = asyncio.run(fetch_offers(shown.values(), catalogue.endpoints, workspace.environ))
    found = compare_with_offers(shown.values(), catalogue.endpoints, offers, datetime.now(UTC).date())
    is_silent = _print_silent_endpoints(offers)
    _print_problems(found)
    if write_prices:
        _write(workspace.paths, found, dry_run=dry_run)
    is_written = write_prices and not dry_run
    is_open = any(each.problems or (each.prices and not is_written) for each in found)
    raise typer.Exit(EXIT_INCOMPLETE if is_silent or is_open else EXIT_OK)


def _print_table(rows: Sequence[Model]) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from daydreaming_dagster.cli.console import out
    from daydreaming_dagster.experiments.model_offers import show_price

    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), caption="USD per million tokens: of the prompt, of the completion")
    table.add_column("model", no_wrap=True)  # it is to be copied
    for heading in ("writes", "judges", "endpoint", "pool"):
        table.add_column(heading, overflow="fold")
    for heading in ("prompt", "compl."):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        marks = ("yes" if flag else "–" for flag in (row.for_generation, row.for_evaluation))
        prices = (show_price(row.price_prompt), show_price(row.price_completion))
        table.add_row(row.id, *marks, row.endpoint, row.pool, *prices)
    out().print(table)


def _print_silent_endpoints(offers: Offers) -> bool:
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.domain.errors import DayDreamingError

    errors = {endpoint: answer for endpoint, answer in offers.items() if isinstance(answer, DayDreamingError)}
    for endpoint, error in errors.items():
        print_line(f"[yellow]{endpoint}[/] does not say what it offers: {escape(error.what)}")
        print_line(f"  → {escape(error.fix)}")
    return bool(errors)


def _print_problems(found: Sequence[ModelFinding]) -> None:
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.utils.wording import show_count

    asked = [each for each in found if each.offer is not None or each.problems]
    sentences = [(each.model.id, sentence) for each in asked for sentence in each.describe()]
    for model_id, sentence in sentences:
        print_line(f"[yellow]mind[/] [bold]{escape(model_id)}[/]: {escape(sentence)}")
    if not asked:
        print_line("Nothing was compared: no endpoint of these models told what it offers.")
    elif not sentences:
        print_line(f"[green]ok[/]   {show_count(len(asked), 'model')} offered as the table says.")


def _write(paths: DataPaths, found: Sequence[ModelFinding], *, dry_run: bool) -> None:
    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.store.input_tables import show_path
    from daydreaming_dagster.store.model_prices import write_model_prices
    from daydreaming_dagster.utils.wording import show_count

    prices = {each.model.id: each.prices for each in found if each.prices is not None}
    count = show_count(len(prices), "price row")
    if not prices:
        print_line("No price to write.")
    elif dry_run:
        print_line(f"Would write {count} into {show_path(paths.models_csv)}.")
    else:
        write_model_prices(paths.models_csv, prices)
        print_line(f"Wrote {count} into {show_path(paths.models_csv)}.")
