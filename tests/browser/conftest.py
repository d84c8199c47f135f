"""A browser, and the explorer in a thread for it to look at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from tests.explorer.readable_store import ReadableStore

from daydreaming_dagster.explorer.listening import open_socket

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SCREENSHOTS = Path(__file__).parent / "screenshots"
WIDE, NARROW = (1440, 900), (390, 844)


@dataclass
class Served:
    """The explorer over a store, and what the pages asked for and said while a test looked at them."""

    store: ReadableStore
    address: str
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> Page:
        def on_request(request: Request) -> None:
            if not request.url.startswith((self.address, "data:", "blob:", "file:")):
                self.foreign.append(request.url)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"} and "404" not in message.text:
                self.complaints.append(message.text)

        page.on("request", on_request)
        page.on("console", on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(f"a dialog said {dialog.message}"), dialog.dismiss()))
        return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ended with the module: as long as it lives, its event loop runs, and other tests could start none."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A filled store behind a real server; whatever a page asks of anybody else, or complains of, fails the test."""
    store = ReadableStore(tmp_path / "data")
    store.fill()
    listener = open_socket("127.0.0.1", 0)
    assert listener is not None
    server = uvicorn.Server(
        uvicorn.Config(store.app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    served = Served(store, f"http://127.0.0.1:{listener.getsockname()[1]}")
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
        store.close()
    assert served.foreign == []
    assert served.complaints == []


@pytest.fixture
def new_page(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Opens pages; `size`, `scheme` and `javascript` as a visitor's browser has them."""
    contexts: list[BrowserContext] = []

    def open_page(size: tuple[int, int] = WIDE, scheme: str = "light", *, javascript: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            base_url=served.address,
            java_script_enabled=javascript,
            reduced_motion="reduce",
            accept_downloads=True,
        )
        contexts.append(context)
        return served.watch(context.new_page())

    yield open_page
    for context in contexts:
        context.close()
