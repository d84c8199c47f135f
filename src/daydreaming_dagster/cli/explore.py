"""`daydreaming explore`: read, compare and rate in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket

_PORTS_TRIED = 20


def explore(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else 8765, or the next free one.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen. Any but 127.0.0.1 asks visitors for a token.")] = (
        "127.0.0.1"
    ),
    token: Annotated[
        str | None, typer.Option(envvar="DD_EXPLORE_TOKEN", help="The token; else a new one is made for each start.")
    ] = None,
    dagster_url: Annotated[
        str, typer.Option(envvar="DD_DAGSTER_URL", help="Where Dagster's pages are, for links to them; empty for none.")
    ] = "http://127.0.0.1:3000",
    browser: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> None:
    """Open a local web page on your store: what ran, which essays are worth reading and why; rate them blind."""
    from functools import partial

    import uvicorn

    from daydreaming_dagster.cli.console import print_line, show_command
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.explorer.app import create_app
    from daydreaming_dagster.explorer.listening import build_access, build_address
    from daydreaming_dagster.explorer.site import Site

    workspace = open_workspace()
    paths = workspace.store.paths
    site = Site(paths, workspace.environ, dagster_url, partial(show_command, data_root=paths.root))
    access = build_access(host, token)
    listener = _listen(host, port)
    address = build_address(listener, host, access.token)
    print_line(f"Reading {site.paths.root} at [bold]{address}[/]  (Ctrl-C ends it)")
    if not site.can_keep_ratings:
        print_line("What people rate cannot be kept here; the pages can make packs to rate elsewhere.")
    config = uvicorn.Config(
        create_app(site, access),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
    )
    if browser:
        import webbrowser

        webbrowser.open(address)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket on the wanted port, or on the next free one where none was wanted."""
    from daydreaming_dagster.domain.errors import ConfigurationError
    from daydreaming_dagster.explorer.listening import DEFAULT_PORT, open_socket

    ports = range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED) if port is None else (port,)
    for candidate in ports:
        if (found := open_socket(host, candidate)) is not None:
            return found
    raise ConfigurationError(
        f"Port {ports[0]} of {host} is taken." if port is not None else f"Ports {ports[0]} to {ports[-1]} are taken.",
        fix="Name another one: daydreaming explore --port 0 (any that is free)",
    )
