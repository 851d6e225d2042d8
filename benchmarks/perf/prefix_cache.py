"""How much of a construction run's prompts a vLLM server finds in its prefix cache.

`python -m langgraph_memskill.benchmarks.perf.prefix_cache URL#model --file locomo10.json`. The
prompts are those of METHOD's construction step over one LoCoMo conversation, built with the
extractive model, and sent one after the other with one token to answer; the counts are the
server's own (/metrics). Beside them the same prompts with their parts the other way round: span,
memories, skills. The server must not be in use by others, and must have the prefix cache on.
"""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, HumanMessage, convert_to_openai_messages

from langgraph_memskill import MemSkillMemory
from langgraph_memskill.benchmarks.locomo import cut_spans, load_locomo
from langgraph_memskill.benchmarks.samples import Sample
from langgraph_memskill.errors import BenchmarkError
from langgraph_memskill.settings import METHOD
from langgraph_memskill.spans import SpanMode

_SECTION = re.compile(r"\n\n(?=<(?:memories|span)\b)")
"""Between the parts of a request; data cannot hold such a tag (`prompts.neutralise`)."""
_COUNTERS = ("prefix_cache_queries", "prefix_cache_hits")
_TIMEOUT_S = 1200


@dataclass(frozen=True, slots=True, kw_only=True)
class HitRate:
    """What a server found of a run's prompts."""

    prompts: int
    tokens: int
    """Of all prompts, as the server counts them."""
    found: int
    """Of these, from the cache."""

    @property
    def share(self) -> float:
        """Found tokens of all, in [0, 1]."""
        return self.found / self.tokens if self.tokens else 0.0


class _PromptRecorder(BaseCallbackHandler):
    """Keeps the prompts of all model calls, in order."""

    run_inline = True

    def __init__(self) -> None:
        self.prompts: list[list[BaseMessage]] = []

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any
    ) -> None:
        self.prompts += messages


def construction_prompts(sample: Sample, mode: SpanMode) -> list[list[BaseMessage]]:
    """The prompts of a construction run over one conversation, one span after the other."""
    recorder = _PromptRecorder()
    with MemSkillMemory("extractive", namespace=("prefix",), settings=METHOD) as memory:
        memory.observe(recorder)
        memory.remember(cut_spans(sample, mode))
    return recorder.prompts


def turned_round(prompt: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The same prompt with the span first and the skills last."""
    *fixed, request = prompt
    return [*fixed, HumanMessage("\n\n".join(_SECTION.split(str(request.text))[::-1]))]


def measure(url: str, name: str, prompts: Sequence[Sequence[BaseMessage]]) -> HitRate:
    """Send prompts one after the other.

    Args:
        url: The server's "http://host:port/v1".
        name: Its model.
        prompts: In the order of the run.

    Raises:
        BenchmarkError: If the server counts no prefix cache, or refuses a prompt.
    """
    with httpx.Client(timeout=_TIMEOUT_S) as client:
        before = _counts(client, url)
        for number, prompt in enumerate(prompts):
            messages = convert_to_openai_messages(list(prompt))
            body = {"model": name, "messages": messages, "max_tokens": 1, "temperature": 0}
            reply = client.post(f"{url}/chat/completions", json=body)
            if reply.is_error:
                raise BenchmarkError(f"prompt {number} was refused: {reply.text[:300]}")
        after = _counts(client, url)
    tokens, found = (round(late - early) for early, late in zip(before, after, strict=True))
    return HitRate(prompts=len(prompts), tokens=tokens, found=found)


def _counts(client: httpx.Client, url: str) -> list[float]:
    text = client.get(f"{url.removesuffix('/v1')}/metrics").text
    counts = []
    for name in _COUNTERS:
        found = re.findall(rf"^vllm:{name}_total\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)
        if not found:
            raise BenchmarkError(
                f"the server at {url} has no metric vllm:{name}: it must be vLLM, with "
                "--enable-prefix-caching"
            )
        counts.append(sum(map(float, found)))
    return counts


def main() -> None:
    """Measure as the command line says, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder = Path(os.environ.get("MEMSKILL_DATA_DIR", "."))
    parser.add_argument("model", help="URL#name")
    parser.add_argument("--file", type=Path, default=folder / "locomo" / "locomo8.json")
    parser.add_argument("--conversation", type=int, default=0, help="position in the file")
    parser.add_argument("--span-mode", type=SpanMode, default=SpanMode.SESSION)
    parser.add_argument("--spans", type=int, help="the first ones only")
    chosen = parser.parse_args()
    url, _, name = chosen.model.partition("#")
    sample = load_locomo(chosen.file)[chosen.conversation]
    prompts = construction_prompts(sample, chosen.span_mode)[: chosen.spans]
    print(f"{sample.id}, spans: {chosen.span_mode}, {len(prompts)} prompts, {name} at {url}\n")
    print("| order of a prompt's parts | tokens | from the cache | share |\n|---|---|---|---|")
    orders = {
        "rules, skills, memories, span": prompts,
        "rules, span, memories, skills": [turned_round(prompt) for prompt in prompts],
    }
    for order, asked in orders.items():
        rate = measure(url, name, asked)
        print(f"| {order} | {rate.tokens:,} | {rate.found:,} | {rate.share:.3f} |", flush=True)


if __name__ == "__main__":
    main()
