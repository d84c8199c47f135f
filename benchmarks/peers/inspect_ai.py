"""inspect-ai: an evaluation set of one task without scorer, display and live view, over the aiohttp transport.

`eval_set` goes on from its log. The log's buffer is the default, ten answers: a larger one saves a few percent of the
processor's time and is lost with the process.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

from inspect_ai import Task, eval_set
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import get_model
from inspect_ai.solver import generate
from openai import DefaultAioHttpClient

from benchmarks.peers.work import MODEL, main


def ask(base_url: str, prompts: list[str], in_flight: int, folder: Path) -> list[str]:
    """A sample per prompt, all in one log; the answers are counted by their places in it."""
    samples = [Sample(id=number, input=prompt) for number, prompt in enumerate(prompts, start=1)]
    model = get_model(
        f"openai-api/bench/{MODEL}",
        base_url=base_url,
        api_key="none",
        http_client=DefaultAioHttpClient(),
        memoize=False,  # the client belongs to one event loop
    )
    _, logs = eval_set(
        Task(name="bench", dataset=MemoryDataset(samples), solver=generate()),
        log_dir=str(folder),
        model=model,
        max_connections=in_flight,
        max_samples=in_flight,
        display="none",
        log_realtime=False,
        log_model_api=False,
        ctl_server=False,
        score=False,
    )
    with ZipFile(logs[0].location) as log:
        return [name for name in log.namelist() if name.startswith("samples/")]


if __name__ == "__main__":
    main(ask, "inspect-ai", "openai")
