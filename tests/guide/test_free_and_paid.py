"""Two processes on one data root, both with free models: together never more than the pool allows."""

from __future__ import annotations

import contextlib
import csv
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.openai_server import OpenAIServer, serve_in_thread
from tests.guide.shell import GuideShell

from daydreaming_dagster.store.owners import is_alive, iter_owner_ids
from daydreaming_dagster.store.paths import DataPaths

pytestmark = pytest.mark.slow

LATENCY_S = 0.2
FREE, PAID = "maker/writer:free", "maker/judge"
PAID_LIMIT = 4
STAYS_QUIET_S = 5


@dataclass
class Book:
    """When each request for a model arrived at the server, seconds; it leaves `LATENCY_S` later at the earliest."""

    arrivals: dict[str, list[float]] = field(default_factory=lambda: {FREE: [], PAID: []})

    def note(self, index: int, body: dict[str, Any]) -> None:
        self.arrivals[body["model"]].append(time.monotonic())

    def most_at_a_time(self, model: str) -> int:
        """The most requests of a model that were surely in flight together."""
        times = self.arrivals[model]
        return max((sum(0 <= time - other < LATENCY_S for other in times) for time in times), default=0)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def server(book: Book) -> Iterator[OpenAIServer]:
    with serve_in_thread(OpenAIServer(latency_s=LATENCY_S, find_fault=book.note)) as running:  # type: ignore[arg-type]
        yield running


@pytest.fixture
def checkout(tmp_path: Path, server: OpenAIServer) -> GuideShell:
    """A free writer and a paid judge: of two concepts 4 drafts, 8 essays, 24 evaluations."""
    shell = GuideShell(tmp_path / "checkout", endpoint=f"openrouter,openai,{server.base_url},,")
    path = shell.folder / "data/1_raw/llm_models.csv"
    with path.open(newline="") as file:
        columns = list(csv.DictReader(file).fieldnames or ())
    chosen = {"provider": "maker", "display_name": "x", "for_generation": "false", "for_evaluation": "false"}
    writer = {**chosen, "id": "writer", "model": FREE, "for_generation": "true"}
    judge = {**chosen, "id": "judge", "model": PAID, "for_evaluation": "true"}
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows([writer, judge])
    shell.require("sed -i 's/^draft,1$/draft,2/' data/1_raw/replication_config.csv")
    return shell


def limit(shell: GuideShell, per_minute: int | None = None, per_day: int | None = None) -> None:
    rows = f"llm_api_free,1,{per_minute or ''},,{per_day or ''}\nllm_api_paid,{PAID_LIMIT},,,\n"
    (shell.folder / "data/1_raw/llm_pools.csv").write_text(
        f"pool,max_concurrent,requests_per_minute,tokens_per_minute,requests_per_day\n{rows}"
    )


@contextlib.contextmanager
def run_two(shell: GuideShell) -> Iterator[list[subprocess.Popen[str]]]:
    """Two `daydreaming run` at a time, for two cohorts that have the same generations."""
    with (shell.folder / "log-0").open("w") as first, (shell.folder / "log-1").open("w") as second:
        processes = [shell.start("daydreaming run --quiet", first)]
        processes.append(shell.start("env DD_COHORT=second daydreaming run --quiet", second))
        try:
            yield processes
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()


def read_logs(shell: GuideShell) -> str:
    return "\n".join((shell.folder / name).read_text() for name in ("log-0", "log-1"))


def count_runs(shell: GuideShell) -> int:
    """How many processes are making generations."""
    paths = DataPaths(shell.folder / "data")
    return sum(is_alive(paths, owner_id) for owner_id in iter_owner_ids(paths))


def test_free_models_are_asked_one_at_a_time_by_both_together_and_paid_ones_side_by_side(
    checkout: GuideShell, book: Book
) -> None:
    limit(checkout)
    with run_two(checkout) as processes:
        for process in processes:
            assert process.wait(timeout=300) == 0, read_logs(checkout)
    assert len(book.arrivals[FREE]) == 4 + 8
    assert len(book.arrivals[PAID]) == 24
    assert book.most_at_a_time(FREE) == 1
    assert 1 < book.most_at_a_time(PAID) <= PAID_LIMIT


def test_no_more_than_a_minutes_requests_are_sent_by_both_together_and_both_stop_politely(
    checkout: GuideShell, book: Book
) -> None:
    limit(checkout, per_minute=7)
    began = time.monotonic()
    with run_two(checkout) as processes:
        while len(book.arrivals[FREE]) < 7 or count_runs(checkout) < 2:
            assert all(process.poll() is None for process in processes), read_logs(checkout)
            assert time.monotonic() - began < 240, read_logs(checkout)
            time.sleep(0.1)
        with pytest.raises(subprocess.TimeoutExpired):  # both wait for the minute to pass
            processes[0].wait(timeout=STAYS_QUIET_S)
        assert processes[1].poll() is None
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            assert process.wait(timeout=120) == 130, read_logs(checkout)
    assert len(book.arrivals[FREE]) == 7
    assert book.arrivals[FREE][-1] - book.arrivals[FREE][0] < 60, "all of them in one minute"
    assert book.most_at_a_time(FREE) == 1


def test_a_used_up_day_ends_both_with_a_message_and_the_rest_is_made_when_there_is_room(
    checkout: GuideShell, book: Book
) -> None:
    limit(checkout, per_day=5)
    first_day = datetime.now(UTC).date()
    with run_two(checkout) as processes:
        ends = [process.wait(timeout=300) for process in processes]
    days = 1 + (datetime.now(UTC).date() - first_day).days
    assert len(book.arrivals[FREE]) <= 5 * days
    if days == 1:
        assert len(book.arrivals[FREE]) == 5
        assert set(ends) == {3}
        assert "requests_per_day in data/1_raw/llm_pools.csv allows 5, and none is left until" in read_logs(checkout)
    counts = Counter(path.parent.parent.name for path in checkout.folder.glob("data/gens/*/*/parsed.txt"))
    assert counts["draft"] + counts["essay"] == len(book.arrivals[FREE]), "what was answered is stored"
    limit(checkout, per_day=100)
    assert checkout.run("daydreaming run --quiet").returncode == 0
    assert len(book.arrivals[FREE]) == 4 + 8, "nothing was asked twice"


def test_what_the_provider_says_is_left_is_used_up_by_both_together_and_the_next_day_goes_on(
    checkout: GuideShell, book: Book, server: OpenAIServer
) -> None:
    server.free_per_day, server.free_used = 8, 3  # three were sent from elsewhere
    limit(checkout)
    with run_two(checkout) as processes:
        ends = [process.wait(timeout=300) for process in processes]
    assert len(book.arrivals[FREE]) == 5, read_logs(checkout)
    assert server.free_used == 8, "not even one request was refused"
    assert set(ends) == {3}, read_logs(checkout)
    assert "has used up today's requests: the provider allows 8 a day" in read_logs(checkout)
    assert "left to do; run the same command again" in read_logs(checkout)
    assert "0 of 8 requests left today" in checkout.require("daydreaming plan")
    server.free_per_day = 50  # as after midnight: there is room again
    assert checkout.run("daydreaming run --quiet").returncode == 0
    assert len(book.arrivals[FREE]) == 4 + 8, "nothing was asked twice"
