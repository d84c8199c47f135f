"""distilabel: a pipeline of one generation step, whose batch is what it has in flight.

One process for the step is best on two cores: two or four with smaller batches took more of the processor's time and
were not faster. It keeps whole batches and is told to go on from them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

os.environ |= {"DISTILABEL_LOG_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration

from benchmarks.peers.work import MODEL, main

_LONGEST_ANSWER = 1024  # tokens; it asks for 128 by default


def ask(base_url: str, prompts: list[str], in_flight: int, folder: Path) -> Iterable[str | None]:
    """A row per prompt; neither the prompts nor the raw answers are kept a second time beside the rows."""
    parameters = {"max_new_tokens": _LONGEST_ANSWER}
    with Pipeline(name="bench", cache_dir=folder) as pipeline:
        rows = LoadDataFromDicts(data=[{"instruction": prompt} for prompt in prompts], batch_size=in_flight)
        rows >> TextGeneration(
            llm=OpenAILLM(model=MODEL, base_url=base_url, api_key="none", generation_kwargs=parameters),
            input_batch_size=in_flight,
            add_raw_output=False,
            add_raw_input=False,
        )
    answers: Iterable[str | None] = pipeline.run(use_cache=True)["default"]["train"]["generation"]
    return answers


if __name__ == "__main__":
    main(ask, "distilabel", "openai")
