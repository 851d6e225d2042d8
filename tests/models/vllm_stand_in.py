"""Stand-ins for what is used of vLLM; as a program it asks one and ends.

The program's argument is the folder of a model.
"""

import asyncio
import json
import multiprocessing.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from langgraph_memskill.models import vllm_model


class Params:
    """What vLLM calls SamplingParams."""

    def __init__(self, **fields: Any) -> None:
        if "nonsense" in fields:
            raise TypeError("Unexpected keyword argument 'nonsense'")
        self.__dict__.update(fields)


class Engine:
    """Answers when as many requests as it waits for are in flight, from the prompts' last word."""

    started: list[dict[str, Any]] = []

    def __init__(self, arguments: dict[str, Any]) -> None:
        if arguments.get("quantization") == "broken":
            raise RuntimeError("no kernel for this\nlong story")
        self.arguments, self.wanted, self.errored, self.is_stopped = arguments, 1, False, False
        self.most = self.aborted = 0
        self._waiting: list[asyncio.Event] = []
        Engine.started.append(arguments)

    async def generate(self, request: Any, params: Params, request_id: str) -> Any:
        go = asyncio.Event()
        self._waiting.append(go)
        self.most = max(self.most, len(self._waiting))
        if len(self._waiting) >= self.wanted:
            for event in self._waiting:
                event.set()
        try:
            await go.wait()
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self._waiting.remove(go)
        yield self._output(request["prompt_token_ids"], params)

    def _output(self, prompt: list[int], params: Any) -> Any:
        text = bytes(prompt).decode().split()[-1]
        if hasattr(params, "structured_outputs"):
            assert "properties" in params.structured_outputs.json
            text = json.dumps({"name": text, "age": 7})
        cut = text[: params.max_tokens]
        answer = SimpleNamespace(
            text=cut, token_ids=[1] * len(cut), finish_reason="stop" if cut == text else "length"
        )
        return SimpleNamespace(outputs=[answer], prompt_token_ids=prompt, num_cached_tokens=2)

    def shutdown(self) -> None:
        self.is_stopped = True


class Tokenizer:
    """Bytes as tokens."""

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        assert options.pop("add_generation_prompt")
        assert not options.pop("tokenize")
        if not isinstance(messages[-1]["content"], str):
            raise ValueError("no text")
        return " ".join(message["content"] for message in messages)

    def __call__(self, text: str, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        return {"input_ids": list(text.encode())}


def modules() -> dict[str, ModuleType]:
    """In vLLM's place."""
    contents: dict[str, dict[str, Any]] = {
        "vllm": {},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"AsyncEngineArgs": dict},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.async_llm": {"AsyncLLM": SimpleNamespace(from_engine_args=Engine)},
        "vllm.sampling_params": {
            "SamplingParams": Params,
            "StructuredOutputsParams": SimpleNamespace,
            "RequestOutputKind": SimpleNamespace(FINAL_ONLY="final"),
        },
    }
    made = {}
    for name, content in contents.items():
        made[name] = ModuleType(name)
        made[name].__dict__.update(content)
    return made


class Told(Engine):
    """Tells when it stops."""

    def shutdown(self) -> None:
        print("engine")  # noqa: T201


def main(folder: Path) -> None:
    """Ask a model that is alive when the program ends."""
    sys.modules.update(modules())
    sys.modules["vllm.v1.engine.async_llm"].AsyncLLM.from_engine_args = Told  # type: ignore[attr-defined]
    vllm_model.find_spec = lambda _: object()  # type: ignore[assignment,return-value]
    vllm_model._load_tokenizer = lambda _: Tokenizer()
    # Where it kills processes that are left.
    multiprocessing.util.Finalize(None, print, ("multiprocessing",), exitpriority=0)
    model = vllm_model.VllmChatModel(model=folder)
    print(model.invoke("Say hello").text)  # noqa: T201
    KEPT.append(model)


KEPT: list[Any] = []

if __name__ == "__main__":
    main(Path(sys.argv[1]))
