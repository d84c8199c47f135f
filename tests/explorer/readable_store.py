"""A small store with everything the explorer shows, and a browser without a browser to ask it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.fakes.data_root import DataRoot, of_stage

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.explorer.app import create_app
from daydreaming_dagster.explorer.safety import Access
from daydreaming_dagster.explorer.site import Site
from daydreaming_dagster.store.generations import GenerationMetadata, Outcome

LONG_AGO_NS = 1_600_000_000_000_000_000
"""Folders of tests are dated back: what was touched a moment ago is read again by every refresh."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def shown(self) -> str:
        """What one reads of a page: without its tags."""
        return unescape(re.sub(r"<[^>]+>", "", self.text))


class ReadableStore:
    """Three concepts, three drafts, six essays, twenty-four evaluations by two judges of two rubrics."""

    def __init__(self, folder: Path, *, access: Access | None = None) -> None:
        self.root = DataRoot(folder)
        self.root.write_models(writers=["writer"], judges=["strict", "kind"])
        self.root.write_templates(
            Stage.ESSAY, {"narrative": "Tell: {{ draft_block }}", "plain": "Say: {{ draft_block }}"}
        )
        self.paths = self.root.paths
        self.site = Site(self.paths, {"OPENROUTER_API_KEY": "sk-secret-0123456789"}, "http://dagster.test")
        self.app = create_app(self.site, access, refresh=False)
        self.members: list[Member] = []

    def fill(self) -> None:
        plan = self.root.build()
        self.cohort_id = plan.cohort_id
        self.members = list(plan.members)
        for place, member in enumerate(self.members):
            self.write(member, place)
        self.refresh()

    def write(self, member: Member, place: int = 0, text: str | None = None, **raw: Any) -> None:
        """Writes a generation as a run leaves it; a text given stands for raw response and parsed text."""
        score = place % 8 + 1
        if text is None:
            text = (
                f"Because of reason {place}.\nSCORE: {score}"
                if member.stage is Stage.EVALUATION
                else (
                    f"# The {member.stage} number {place}\n\nA hedgehog dreams of moats. Word{place} stands only here."
                )
            )
        parsed = f"{score}.0\n" if member.stage is Stage.EVALUATION else text
        metadata = {"cost_usd": 0.25, "finished_at": f"2026-01-01T00:00:{place % 60:02d}+00:00", "failure": None, **raw}
        is_good = metadata["failure"] is None
        self.root.store.write_outcome(
            Outcome(
                GenerationMetadata.of_member(member),
                f"Please answer number {place}.",
                text,
                metadata,
                parsed if is_good else None,
                {"success": True} if is_good else None,
            )
        )
        self.age(member)

    def age(self, member: Member) -> None:
        folder = self.paths.generation(member.stage, member.gen_id)
        self._age = getattr(self, "_age", LONG_AGO_NS) + 1_000_000_000
        os.utime(folder, ns=(self._age, self._age))

    def refresh(self) -> None:
        self.site.refresh()

    def close(self) -> None:
        self.site.close()

    def of(self, stage: Stage) -> list[Member]:
        return of_stage(self.members, stage)

    # Asking -------------------------------------------------------------------------------------------------------
    def get(self, address: str, **headers: str) -> Answer:
        return self._ask("GET", address, b"", headers)

    def post(self, address: str, form: dict[str, str], **headers: str) -> Answer:
        """Sends a form as a page of ours does; a form without `write_token` gets the right one."""
        complete = {"write_token": self.site.write_token, **form}
        return self._ask("POST", address, urlencode(complete).encode(), headers)

    def _ask(self, method: str, address: str, body: bytes, headers: dict[str, str]) -> Answer:
        sent = {"host": "127.0.0.1:8765", **{name.replace("_", "-"): value for name, value in headers.items()}}
        names = [(name.encode(), value.encode()) for name, value in sent.items()]
        return self.send(make_scope(address, method, names), [body])

    def send(self, scope: dict[str, Any], pieces: Sequence[bytes] = (b"",)) -> Answer:
        """Sends a request as a server hands it on, its body in pieces."""
        sent = asyncio.run(self.call(scope, list(pieces)))
        start = sent[0]
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(start["status"], headers, content)

    async def call(self, scope: dict[str, Any], pieces: list[bytes]) -> list[dict[str, Any]]:
        """The messages of an answer; what of the body was not asked for stays in `pieces`."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return sent


def make_scope(address: str, method: str = "GET", headers: Sequence[tuple[bytes, bytes]] = ()) -> dict[str, Any]:
    """A request as a server hands it on."""
    place = urlsplit(address)
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": place.path,
        "raw_path": place.path.encode(),
        "query_string": place.query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8765),
    }
