"""Tokens a second of an OpenAI-compatible server: our key pool beside a plain load generator.

Both send the same extraction prompts with the same number of calls in flight, in turns, so that a
busy machine slows both. The processor's time of the client is told, too: on the server's own
machine, what our side takes more of it is what the server goes without. Run
`python -m langgraph_memskill.benchmarks.perf.served_tokens URL#model`.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import httpx
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages

from langgraph_memskill.models.key_pool import KeyPool
from langgraph_memskill.prompts import extraction_messages
from langgraph_memskill.records import Span
from langgraph_memskill.skills.bank import SkillBank

Call = Callable[[list[BaseMessage]], Awaitable[int]]
"""Sends a prompt and returns how many tokens came back."""


def prompts(number: int, offset: int) -> list[list[BaseMessage]]:
    """Extraction prompts that differ in their spans only."""
    skills = list(SkillBank.seed())[:2]
    return [
        extraction_messages(
            Span(id=f"e/{n}", index=n, text=f"Ann: on day {n} I walked {n + 3} kilometres."),
            skills,
            [],
        )
        for n in range(offset, offset + number)
    ]


async def tokens_per_second(call: Call, work: list[list[BaseMessage]], in_flight: int) -> float:
    """Send all prompts with at most `in_flight` at once; reply tokens a second."""
    gate = asyncio.Semaphore(in_flight)

    async def one(prompt: list[BaseMessage]) -> int:
        async with gate:
            return await call(prompt)

    started = time.perf_counter()
    counts = await asyncio.gather(*map(one, work))
    return sum(counts) / (time.perf_counter() - started)


async def measure(url: str, name: str, *, calls: int, in_flight: int, rounds: int) -> None:
    """Measure both in turns and print the medians and their ratio."""
    parameters = {"max_tokens": 48, "temperature": 0}
    pool = KeyPool(model=name, base_urls=[url], parameters=parameters, timeout_s=600)

    async def ours(prompt: list[BaseMessage]) -> int:
        reply = await pool.ainvoke(prompt)
        usage = reply.usage_metadata if isinstance(reply, AIMessage) else None
        return usage["output_tokens"] if usage else 0

    async with httpx.AsyncClient(timeout=600) as client:

        async def plain(prompt: list[BaseMessage]) -> int:
            messages = convert_to_openai_messages(prompt)
            body = {"model": name, "messages": messages, **parameters}
            reply = await client.post(f"{url}/chat/completions", json=body)
            reply.raise_for_status()
            return int(reply.json()["usage"]["completion_tokens"])

        await tokens_per_second(plain, prompts(in_flight, 0), in_flight)
        seen: dict[str, list[float]] = {"plain": [], "key pool": []}
        cpu = dict.fromkeys(seen, 0.0)
        for number in range(rounds):
            both: list[tuple[str, Call]] = [("plain", plain), ("key pool", ours)]
            for turn, (who, call) in enumerate(both if number % 2 else both[::-1]):
                work = prompts(calls, (2 * number + turn + 1) * 1000)
                began = time.process_time()
                seen[who].append(await tokens_per_second(call, work, in_flight))
                cpu[who] += time.process_time() - began
    medians = {who: statistics.median(rates) for who, rates in seen.items()}
    for who, rates in seen.items():
        shown = ", ".join(f"{rate:.1f}" for rate in rates)
        client_ms = 1000 * cpu[who] / (rounds * calls)
        print(
            f"{who}: median {medians[who]:.1f} tokens/s ({shown}), {client_ms:.1f} ms of the "
            "client's processor a call"
        )
    print(f"ratio {medians['key pool'] / medians['plain']:.2f}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="URL#name")
    parser.add_argument("--calls", type=int, default=24, help="prompts a round and side")
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=4)
    chosen = parser.parse_args()
    url, _, name = chosen.model.partition("#")
    asyncio.run(
        measure(url, name, calls=chosen.calls, in_flight=chosen.in_flight, rounds=chosen.rounds)
    )


if __name__ == "__main__":
    main()
