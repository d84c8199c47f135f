"""Ctrl-C and its kin in the middle of a run: nothing answered is lost, and the last lines say how to go on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fakes.openai_server import Fault, OpenAIServer, serve_in_thread
from tests.fakes.scripted_root import make_scripted_directory, run_command

from daydreaming_dagster.cli.interruption import one_way_to_end

DRAFTS = 2


class Terminal:
    """A command on a terminal of its own, and what it has shown there."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.shown = ""
        self._master, slave = pty.openpty()
        known = {key: value for key, value in os.environ.items() if not key.startswith(("DD_", "DAGSTER_"))}
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("daydreaming")), *words],
            cwd=folder,
            env={**known, "DAGSTER_HOME": str(folder / "dagster_home"), "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def read_until(self, words: str = "\0") -> str:
        """What was shown until these words came, or until the end."""
        while words not in self.shown:
            try:
                self.shown += os.read(self._master, 65536).decode(errors="replace")
            except OSError:  # nobody writes to it any more
                break
        return self.shown

    def hang_up(self) -> None:
        """The window is closed."""
        self.process.send_signal(signal.SIGHUP)
        os.close(self._master)


@contextmanager
def waiting_run(folder: Path, server: OpenAIServer, release: threading.Event) -> Iterator[Terminal]:
    """A run whose drafts are made; the answers to its essays come when they are released."""
    reached = threading.Event()

    def hold(index: int, _body: object) -> Fault | None:
        if index >= DRAFTS:
            reached.set()
            release.wait(60)
        return None

    server.find_fault = hold
    make_scripted_directory(folder, concepts=2, endpoint=f"openrouter,openai,{server.base_url},,")
    terminal = Terminal(folder, "run")
    try:
        terminal.read_until("in flight")
        assert reached.wait(60)
        yield terminal
    finally:
        release.set()
        terminal.process.kill()
        terminal.process.wait()


@pytest.fixture
def _restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_restored")
def test_a_request_to_end_ends_also_what_ignores_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt), one_way_to_end():
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_stores_what_is_under_way_and_makes_no_tables(
    tmp_path: Path, number: signal.Signals
) -> None:
    release = threading.Event()
    with serve_in_thread() as server, waiting_run(tmp_path, server, release) as terminal:
        terminal.process.send_signal(number)
        terminal.read_until("Stopping")
        release.set()
        shown = terminal.read_until()
        assert terminal.process.wait(60) == 130
    assert "Traceback" not in shown
    assert "Interrupted; what was answered is stored." in shown
    assert "Unknown spend" not in shown
    assert "daydreaming run" in shown.rpartition("Interrupted")[2]
    assert not (tmp_path / "data" / "5_parsing").exists()
    raw = list((tmp_path / "data" / "gens").glob("*/*/raw.txt"))
    assert len(raw) == server.answered


@pytest.mark.slow
def test_a_second_ctrl_c_gives_up_what_is_under_way_and_says_what_it_may_have_cost(tmp_path: Path) -> None:
    release = threading.Event()
    with serve_in_thread() as server, waiting_run(tmp_path, server, release) as terminal:
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until("Stopping")
        terminal.process.send_signal(signal.SIGINT)
        shown = terminal.read_until()
        assert terminal.process.wait(60) == 130
    assert "Traceback" not in shown
    assert "Unknown spend: " in shown
    assert "Made 2 drafts, 0 essays" in shown
    assert len(list((tmp_path / "data" / "gens" / "draft").glob("*/raw.txt"))) == DRAFTS


@pytest.mark.slow
def test_a_closed_terminal_ends_a_run_as_ctrl_c_does(tmp_path: Path) -> None:
    release = threading.Event()
    with serve_in_thread() as server, waiting_run(tmp_path, server, release) as terminal:
        terminal.hang_up()
        release.set()
        assert terminal.process.wait(60) == 130
    assert len(list((tmp_path / "data" / "gens").glob("*/*/raw.txt"))) == server.answered
    ended = run_command(tmp_path, "daydreaming", "status")
    assert "Make what is missing" in ended.stdout


@pytest.mark.slow
def test_ctrl_c_while_tables_are_made_is_no_error(tmp_path: Path) -> None:
    make_scripted_directory(tmp_path, concepts=2)
    terminal = Terminal(tmp_path, "run")
    terminal.read_until("Making the tables")
    terminal.process.send_signal(signal.SIGINT)
    shown = terminal.read_until()
    assert terminal.process.wait(60) == 130
    assert "Traceback" not in shown
    assert "Error" not in shown
    assert "Interrupted. What was finished is stored; the same command goes on from there." in shown
