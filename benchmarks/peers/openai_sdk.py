"""The plain client: a loop over the SDK on its aiohttp transport. It keeps the answers in memory and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from openai import AsyncOpenAI, DefaultAioHttpClient

from benchmarks.peers.work import MODEL, main


def ask(base_url: str, prompts: list[str], in_flight: int, _folder: Path) -> list[str | None]:
    """A semaphore in front of the client, as its users do it."""

    async def ask_all() -> list[str | None]:
        room = asyncio.Semaphore(in_flight)
        async with AsyncOpenAI(base_url=base_url, api_key="none", http_client=DefaultAioHttpClient()) as client:

            async def ask_one(prompt: str) -> str | None:
                async with room:
                    answer = await client.chat.completions.create(
                        model=MODEL, messages=[{"role": "user", "content": prompt}]
                    )
                return answer.choices[0].message.content

            return await asyncio.gather(*(ask_one(prompt) for prompt in prompts))

    return asyncio.run(ask_all())


if __name__ == "__main__":
    main(ask, "openai", "aiohttp")
