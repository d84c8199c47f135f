"""Where the explorer listens, and who may ask there."""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.explorer.safety import LOOPBACK_NAMES, Access

DEFAULT_PORT = 8765
SHORTEST_TOKEN = 16
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses kept for documentation: ways to them begin where ways to any other do."""


def build_access(host: str, token: str | None) -> Access:
    """Who may ask: on this machine's own addresses anybody on it, elsewhere who has the token.

    Raises:
        ConfigurationError: the given token is easy to guess.
    """
    if host in LOOPBACK_NAMES and not token:
        return Access()
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigurationError(
            f"The token has {len(token)} characters.", fix=f"Take {SHORTEST_TOKEN} or more, or leave it to the command."
        )
    names = LOOPBACK_NAMES | {host.lower(), socket.gethostname().lower()}
    return Access(frozenset(names), token or secrets.token_urlsafe(24))


def build_address(listener: socket.socket, host: str, token: str | None) -> str:
    """The address that a browser can open; where the socket listens everywhere, one that others reach as well."""
    address, port = listener.getsockname()[:2]
    if ipaddress.ip_address(address).is_unspecified:
        host = _find_own_address(listener.family)
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def _find_own_address(family: int) -> str:
    """The address of this machine that its way to others begins at; nothing is sent to find it."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ELSEWHERE[socket.AddressFamily(family)], 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1" if family == socket.AF_INET else "::1"


def open_socket(host: str, port: int) -> socket.socket | None:
    """A listening socket; None when the port is taken.

    Raises:
        ConfigurationError: this machine has no such address, or the port is not for everybody.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return None
        raise ConfigurationError(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}.",
            fix="Choose an address of this machine and a port above 1023: daydreaming explore --host 127.0.0.1",
        ) from error
    return listener
