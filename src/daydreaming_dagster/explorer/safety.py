"""What every request passes before a page sees it, and what every answer carries.

Essays are text that nobody checked, and other pages of the same browser can send requests here. So: the host must be
one that this server was started for (a foreign name that points here is refused), whoever asks from outside needs the
token, whatever writes must come from one of our own pages, and no answer lets a script or style run that is not ours.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_BODY_BYTES = 16 * 1024 * 1024
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all, browsers do not say either where a form comes from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_COOKIE = "daydreaming_token"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask.

    Attributes:
        hosts: names this server answers to, without port.
        token: what a visitor must bring; None where only this machine can ask.
    """

    hosts: frozenset[str] = LOOPBACK_NAMES
    token: str | None = field(default=None, repr=False)

    def allows_host(self, host: str) -> bool:
        """Whether a Host header is one of ours; with a token, any plain address is, for no foreign name is one."""
        name = _strip_port(host).lower()
        return name in self.hosts or (self.token is not None and _is_address(name))


class SafetyMiddleware:
    """Refuses what should not come in, and marks what goes out."""

    def __init__(self, app: ASGIApp, access: Access, refuse: Callable[[int, str, str], Response]) -> None:
        """Args: `refuse` makes the page for a status, a sentence and what to do."""
        self._app = app
        self._access = access
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        taken = 0

        async def receive_bounded() -> Message:
            # A body in chunks does not say beforehand how long it is.
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY_BYTES:
                raise HTTPException(413)
            return message

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        answer = self._check(Request(scope))
        await (self._app if answer is None else answer)(scope, receive_bounded, send_marked)

    def _check(self, request: Request) -> Response | None:
        headers = request.headers
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.allows_host(hosts[0]):
            return self._refuse(
                421,
                "This server does not answer to that name.",
                "Open the address that `daydreaming explore` printed.",
            )
        if request.method not in {"GET", "HEAD", "POST"}:
            return self._refuse(405, f"{request.method} is not done here.", "Go back to the page before.")
        if self._access.token is not None and (answer := self._check_token(request, self._access.token)) is not None:
            return answer
        if request.method == "POST" and not is_same_origin(headers):
            return self._refuse(403, "The request came from another site.", "Use the forms of these pages themselves.")
        if _content_length(headers) > MOST_BODY_BYTES:
            return self._refuse(413, "That is more than this page takes at once.", "Import it in parts.")
        return None

    def _check_token(self, request: Request, token: str) -> Response | None:
        given = request.query_params.get("token")
        if given is not None and _same(given, token):
            kept = urlencode([(k, v) for k, v in parse_qsl(request.url.query) if k != "token"])
            place = "/" + request.url.path.lstrip("/")  # two slashes would name another server
            answer = RedirectResponse(place + (f"?{kept}" if kept else ""), status_code=303)
            answer.set_cookie(_COOKIE, token, httponly=True, samesite="lax", max_age=30 * 86400)
            return answer
        cookies = SimpleCookie(request.headers.get("cookie", ""))
        in_cookie = cookies[_COOKIE].value if _COOKIE in cookies else ""
        in_header = request.headers.get("authorization", "").removeprefix("Bearer ")
        if _same(in_cookie, token) or _same(in_header, token):
            return None
        return self._refuse(
            401,
            "These pages need a token.",
            "Open the whole address that `daydreaming explore` printed, with ?token=… at its end.",
        )


def is_same_origin(headers: Headers) -> bool:
    """Whether a request that writes comes from a page of this server, as far as the browser says."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    return headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/]+))(?::\d*)?")


def _strip_port(host: str) -> str:
    """The name or address of a Host header; empty when it is neither."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]) if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _content_length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() else MOST_BODY_BYTES + 1
