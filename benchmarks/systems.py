"""What is measured, each in a process of its own: `python -m benchmarks.systems KIND ...` prints one JSON line."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks.workload import GENERATIONS_PER_TREE, open_workspace, write_inputs

if TYPE_CHECKING:
    from daydreaming_dagster.store.generations import Outcome

_PROMPT_WORDS = 450


class Meter:
    """CPU and wall time since it was made, whole process tree."""

    def __init__(self) -> None:
        self._cpu_s, self._kernel_s, self._started = _read_cpu_s(), _read_kernel_s(), time.perf_counter()

    def read(self, requests: int, **more: Any) -> dict[str, Any]:
        """What it measured so far."""
        return {
            "requests": requests,
            "span_s": time.perf_counter() - self._started,
            "cpu_ms": 1000 * (_read_cpu_s() - self._cpu_s) / requests,
            "kernel_ms": 1000 * (_read_kernel_s() - self._kernel_s) / requests,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **more,
        }


class Span:
    """From the first request to the last file, as what was stored tells it.

    Attributes:
        calls_s: how long all calls took together, seconds.
    """

    def __init__(self) -> None:
        self.calls_s = 0.0
        self._first = "9999"
        self._last_s = 0.0

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Takes in what has just reached the disk."""
        self._last_s = time.time()
        self._first = min(self._first, *(outcome.raw_metadata["started_at"] for outcome in outcomes))
        self.calls_s += sum(outcome.raw_metadata["duration_s"] for outcome in outcomes)

    def read(self, ended_s: float) -> dict[str, float]:
        """Seconds from the first request to the last file, and to when Dagster knew of everything."""
        first_s = datetime.fromisoformat(self._first).timestamp()
        return {"span_s": self._last_s - first_s, "records_s": ended_s - first_s, "calls_s": self.calls_s}


def measure_floor(base_url: str, requests: int, in_flight: int) -> dict[str, Any]:
    """aiohttp alone: nothing rendered, parsed or stored."""
    import aiohttp

    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "word " * _PROMPT_WORDS}]})

    async def ask_all() -> dict[str, Any]:
        room = asyncio.Semaphore(in_flight)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def ask() -> None:
                with suppress(aiohttp.ClientError):  # what goes wrong is not tried again
                    async with room, session.post(f"{base_url}/chat/completions", data=body) as response:
                        await response.read()

            meter = Meter()
            await asyncio.gather(*(ask() for _ in range(requests)))
            return meter.read(requests)

    return asyncio.run(ask_all())


def measure_engine(
    base_url: str, requests: int, in_flight: int, folder: Path, *, with_dagster: bool = False
) -> dict[str, Any]:
    """Everything a run does, with or without Dagster's records."""
    from daydreaming_dagster.engine.cohort_run import plan_cohort_run, run_cohort
    from daydreaming_dagster.engine.records import RunInfo
    from daydreaming_dagster.engine.run import RunOptions

    write_inputs(folder / "data", base_url=base_url, trees=requests // GENERATIONS_PER_TREE, max_concurrent=in_flight)
    workspace = open_workspace(folder / "data")
    workspace.build_cohort()
    cohort = workspace.require_current_cohort()
    plan = plan_cohort_run(workspace, cohort)
    import aiohttp  # noqa: F401 - start-up is not measured
    import pyrate_limiter  # noqa: F401

    recording, record = _open_recorder(folder) if with_dagster else (nullcontext(), None)
    with recording:
        meter, span = Meter(), Span()
        with record() if record is not None else nullcontext() as recorder:

            def note(outcomes: Sequence[Outcome]) -> None:
                span.note(outcomes)
                if recorder is not None:
                    recorder.record(outcomes)

            options = RunOptions(on_stored=note)
            report = run_cohort(workspace, cohort, plan, RunInfo("bench", cohort.cohort_id), options=options)
        ended_s = time.time()
        result = meter.read(plan.size, ended_s=ended_s, **span.read(ended_s))
    progress = report.progress
    return {**result, "run_s": report.duration_s, "made": progress.made.total(), "retries": progress.retries}


def _open_recorder(folder: Path) -> tuple[AbstractContextManager[Any], Callable[[], Any]]:
    from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

    from daydreaming_dagster.resources.outcome_recorder import OutcomeRecorder
    from daydreaming_dagster.resources.recorder import EventRecorder

    home = folder / "dagster_home"
    home.mkdir(exist_ok=True)
    shipped = Path(__file__).parents[1] / "dagster_home" / "dagster.yaml"
    (home / "dagster.yaml").write_text(shipped.read_text())
    os.environ["DAGSTER_HOME"] = str(home)
    instance = DagsterInstance.get()
    run = instance.add_run(DagsterRun(job_name="bench", status=DagsterRunStatus.STARTED))
    return instance, lambda: OutcomeRecorder(EventRecorder(instance, run))


def measure_growth(base_url: str, requests: int, folder: Path) -> dict[str, Any]:
    """Building, looking at and resuming a cohort of this size, half of which is done (no model had to make it)."""
    from daydreaming_dagster.domain.stages import Stage
    from daydreaming_dagster.engine.cohort_run import plan_cohort_run
    from daydreaming_dagster.engine.cohort_status import read_cohort_status
    from daydreaming_dagster.store.cache_files import remove_database
    from daydreaming_dagster.store.index import Index

    trees = requests // GENERATIONS_PER_TREE
    write_inputs(folder / "data", base_url=base_url, trees=trees, max_concurrent=64)
    figures: dict[str, Any] = {"requests": trees * GENERATIONS_PER_TREE}

    def take_time(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        figures[name] = time.perf_counter() - started
        return result

    take_time("build_s", lambda: open_workspace(folder / "data").build_cohort())
    figures["build_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    take_time("rebuild_s", lambda: open_workspace(folder / "data").build_cohort())
    workspace = open_workspace(folder / "data")
    cohort = workspace.require_current_cohort()
    half = [member for member in cohort.members if member.stage is Stage.DRAFT][: trees // 2]
    done = {member.gen_id for member in half}
    for member in cohort.members:
        if member.gen_id in done or member.parent_gen_id in done:
            done.add(member.gen_id)
            workspace.store.write_outcome(_invent_outcome(member))

    def build_index() -> None:
        remove_database(workspace.paths.index)
        with closing(Index(workspace.store)) as index:
            for stage in Stage:
                index.refresh(stage)

    take_time("index_s", build_index)
    take_time(
        "status_s",
        lambda: read_cohort_status(workspace.store, open_workspace(folder / "data").require_current_cohort()),
    )
    again = open_workspace(folder / "data")
    plan = take_time("plan_s", lambda: plan_cohort_run(again, again.require_current_cohort()))
    assert plan.size == figures["requests"] - len(done)
    return figures


def resume(folder: Path) -> None:
    """Goes on with a cohort until the first answer is stored, prints when its call was sent, and ends there."""
    from daydreaming_dagster.engine.cohort_run import plan_cohort_run, run_cohort
    from daydreaming_dagster.engine.records import RunInfo
    from daydreaming_dagster.engine.run import RunOptions

    def note(outcomes: Sequence[Outcome]) -> None:
        first = min(outcome.raw_metadata["started_at"] for outcome in outcomes)
        print(orjson.dumps({"first_call_at": datetime.fromisoformat(first).timestamp()}).decode(), flush=True)
        os._exit(0)  # as if it was killed: nobody wants the rest of the run

    workspace = open_workspace(folder / "data")
    cohort = workspace.require_current_cohort()
    plan = plan_cohort_run(workspace, cohort)
    run_cohort(workspace, cohort, plan, RunInfo("bench", cohort.cohort_id), options=RunOptions(on_stored=note))


def measure_records(generations: int, folder: Path) -> dict[str, Any]:
    """Telling Dagster of finished generations, three materializations each, and nothing else."""
    from daydreaming_dagster.domain.membership import Member
    from daydreaming_dagster.domain.stages import Stage

    opened, record = _open_recorder(folder)
    with opened:
        members = (
            Member(Stage.DRAFT, f"d_{n}", "cohort", "", "combo", "template", "model", 1, "llm")
            for n in range(generations)
        )
        outcomes = [_invent_outcome(member) for member in members]
        meter = Meter()
        with record() as recorder:
            for start in range(0, generations, 500):
                recorder.record(outcomes[start : start + 500])
        return meter.read(generations)


def _invent_outcome(member: Any) -> Any:
    from daydreaming_dagster.store.generations import GenerationMetadata, Outcome

    text = "A line of text.\n" * 60
    raw = {"call_id": member.gen_id, "usage": {"prompt_tokens": 500, "completion_tokens": 300}, "failure": None}
    return Outcome(GenerationMetadata.of_member(member), text, text, raw, text, {"parser_name": "identity"})


def _read_cpu_s() -> float:
    return _read_kernel_s() + sum(usage.ru_utime for usage in _read_usages())


def _read_kernel_s() -> float:
    return sum(usage.ru_stime for usage in _read_usages())


def _read_usages() -> list[resource.struct_rusage]:
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def main() -> None:
    """Measures what the command line names."""
    kind, base_url, requests, in_flight, folder = sys.argv[1:]
    count, room, place = int(requests), int(in_flight), Path(folder)
    if kind == "floor":
        result = measure_floor(base_url, count, room)
    elif kind == "growth":
        result = measure_growth(base_url, count, place)
    elif kind == "records":
        result = measure_records(count, place)
    elif kind == "resume":
        resume(place)
        return
    else:
        result = measure_engine(base_url, count, room, place, with_dagster=kind == "engine+dagster")
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
