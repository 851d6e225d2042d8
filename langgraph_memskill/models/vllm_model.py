"""A model folder through vLLM, inside the process: for offline runs on a machine with a GPU."""

import asyncio
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl

import yaml
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr

from langgraph_memskill.errors import (
    ConfigError,
    MemSkillError,
    ModelCallError,
    missing_dependency,
)
from langgraph_memskill.hub_cache import cached_snapshot
from langgraph_memskill.models.guided_model import GuidedChatModel
from langgraph_memskill.models.vllm_engine import VllmEngine, shared_engine
from langgraph_memskill.sentence_models import model_name

_NO_DRAFT_MODELS = (None, "", "ngram", "[ngram]")
"""What a speculative configuration may name that is no model."""
_UNSAFE_FORMATS = {"auto", "pt", "npcache"}
_OF_ENGINE_ON_THE_HUB = ("tokenizer", "hf_config_path")
"""Arguments of vLLM's engine that it would download if they named something on the hub."""


class VllmChatModel(GuidedChatModel):
    """A chat model that vLLM runs in this process, without a server.

    The engine is started by the first call and stops when the last model object that uses it is
    gone; objects with equal engine options share one. Calls in flight at the same time, from any
    threads and event loops, are batched by vLLM: how busy it is kept is the callers' concurrency
    (`concurrency=`, `--concurrency`). Cancelling an async call takes its request back. Structured
    output is enforced token by token.

    Only safetensors weights are read, no code of the model's own is run, nothing is downloaded and
    vLLM's usage statistics are switched off. Tools cannot be bound: serve the model for that.

    A script that uses it needs `if __name__ == "__main__":`, because vLLM starts a process.
    """

    model: Path | str
    """A folder with safetensors weights, or a hub name that is in the local Hugging Face cache."""
    max_model_len: int | None = Field(default=None, ge=64)
    """Context in tokens, prompt and answer together; None takes the model's own."""
    max_tokens: int = Field(default=2048, ge=1)
    """Upper length of an answer in tokens."""
    temperature: float = Field(default=0.0, ge=0)
    """0 always takes the likeliest token."""
    seed: int = Field(default=0, ge=0)
    """For temperatures above 0."""
    dtype: str = "auto"
    """Number format of the weights: "auto", "bfloat16", "float16", "float32"."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that the model is spread over."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of vLLM's `AsyncEngineArgs` (gpu_memory_utilization, quantization ...)."""
    chat_template_options: dict[str, Any] = Field(default_factory=dict)
    """For the model's chat template, such as {"enable_thinking": False}."""

    _folder: Path = PrivateAttr()
    _running: VllmEngine | None = PrivateAttr(default=None)
    _tokenizer: Any = PrivateAttr(default=None)
    _loading: Any = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def from_spec(cls, spec: str) -> Self:
        """Make a model from what follows "vllm:" in a model string.

        Args:
            spec: Folder or name, with options as in a URL: "Qwen/Qwen3-8B?max_tokens=1024". What is
                no field of this class is an argument of vLLM's engine.

        Raises:
            ConfigError: If the name is missing, or an option is unreadable or out of range.
            MissingDependencyError: If vLLM is not installed.
            ModelCallError: If the model is not on this machine.
        """
        place, _, query = spec.partition("?")
        if not place.strip():
            raise ConfigError(
                "'vllm:' needs a folder or the name of a model in the local Hugging Face cache, as "
                "in 'vllm:/models/Qwen3-8B' or 'vllm:Qwen/Qwen3-8B?max_tokens=1024'"
            )
        try:
            pairs = parse_qsl(query, strict_parsing=True) if query else []
            options = {name: yaml.safe_load(value) for name, value in pairs}
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(
                f"the options {query!r} of a vllm: model are unreadable: write them as "
                "name=value&name=value"
            ) from error
        ours = {name: options.pop(name) for name in options.keys() & cls.model_fields.keys()}
        return cls(**{"engine": options, **ours, "model": place.strip()})

    def model_post_init(self, context: Any, /) -> None:
        """Look at the package and the folder, so that it shows at once what is missing.

        Raises:
            MissingDependencyError: If vLLM is not installed.
            ModelCallError: If the model is not on this machine, or not in safetensors format.
        """
        super().model_post_init(context)
        if find_spec("vllm") is None:
            raise missing_dependency("vllm", "vllm", "Running a model with vLLM in here")
        self._folder = _find_weights(self.model)
        self.engine = {**self.engine, **_local_parts(self.engine)}

    @property
    def model_name(self) -> str:
        """The last part of the folder or hub name."""
        return model_name(self.model, self._folder)

    @property
    def _llm_type(self) -> str:
        return "vllm"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "max_model_len": self.max_model_len,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "dtype": self.dtype,
        }

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        engine, prompt, options = self._prepared(messages, stop, kwargs)
        try:
            future = engine.request(prompt, options)
            try:
                return self._result(future.result())
            finally:
                future.cancel()  # of an interrupted call; a call at its end has nothing to cancel
        except MemSkillError:
            raise
        except Exception as error:
            raise self._failure(error) from error

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        engine, prompt, options = await asyncio.to_thread(self._prepared, messages, stop, kwargs)
        try:
            return self._result(await asyncio.wrap_future(engine.request(prompt, options)))
        except MemSkillError:
            raise
        except Exception as error:
            raise self._failure(error) from error

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        """Not possible: which calls a reply holds is for vLLM's server to find.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "vLLM in the process offers no tools: serve the model (vllm serve) and name it as "
            "'http://host:8000/v1#name'"
        )

    def _prepared(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[VllmEngine, list[int], dict[str, Any]]:
        """Engine, token ids and sampling options of a call."""
        # LangChain passes this along for its traces only.
        options = {k: v for k, v in kwargs.items() if k != "ls_structured_output_format"}
        wanted = options.pop("response_format", None)
        if wanted is not None:
            options["schema"] = wanted["json_schema"]["schema"]
        if stop:
            options["stop"] = stop
        own = {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}
        engine = self._loaded()
        return engine, self._token_ids(messages), {**own, **options}

    def _token_ids(self, messages: list[BaseMessage]) -> list[int]:
        try:
            text = self._tokenizer.apply_chat_template(
                convert_to_openai_messages(messages, text_format="string"),
                tokenize=False,
                add_generation_prompt=True,
                **self.chat_template_options,
            )
            ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        except Exception as error:  # templates are programs of the models' makers
            raise ModelCallError(
                f"the chat template of {self.model_name!r} cannot take this prompt: {error}"
            ) from error
        return ids

    def _loaded(self) -> VllmEngine:
        with self._loading:
            if self._tokenizer is None:
                self._tokenizer = _load_tokenizer(self._folder)
            if self._running is None or self._running.is_dead:
                self._running = None  # so that a dead one makes room for the next
                self._running = shared_engine(self._engine_arguments())
            return self._running

    def _engine_arguments(self) -> dict[str, Any]:
        if (given := self.engine.get("load_format")) in _UNSAFE_FORMATS:
            raise ConfigError(
                f"load_format={given!r} may read pickled weights: leave it out for safetensors"
            )
        return {
            "load_format": "safetensors",
            **self.engine,
            "model": str(self._folder),
            "trust_remote_code": False,
            "max_model_len": self.max_model_len,
            "dtype": self.dtype,
            "tensor_parallel_size": self.tensor_parallel_size,
        }

    def _result(self, output: Any) -> ChatResult:
        answer, num_prompt = output.outputs[0], len(output.prompt_token_ids)
        message = AIMessage(
            answer.text,
            usage_metadata=UsageMetadata(
                input_tokens=num_prompt,
                output_tokens=len(answer.token_ids),
                total_tokens=num_prompt + len(answer.token_ids),
                input_token_details=InputTokenDetails(cache_read=output.num_cached_tokens or 0),
            ),
            response_metadata={
                "model_name": self.model_name,
                "finish_reason": answer.finish_reason,
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _failure(self, error: Exception) -> ModelCallError:
        return ModelCallError(
            f"vLLM could not answer with {self.model_name!r} ({type(error).__name__}): {error}"
        )


def _local_parts(engine: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an engine that name other things of the hub, as what is on this machine."""
    found: dict[str, Any] = {
        name: str(_find_folder(str(engine[name])))
        for name in _OF_ENGINE_ON_THE_HUB
        if engine.get(name)
    }
    drafts = engine.get("speculative_config")
    if isinstance(drafts, Mapping) and drafts.get("model") not in _NO_DRAFT_MODELS:
        found["speculative_config"] = {**drafts, "model": str(_find_weights(drafts["model"]))}
    return found


def _find_folder(model: Path | str) -> Path:
    folder = Path(model).expanduser()
    if not folder.is_dir():
        name = str(model)
        if isinstance(model, Path) or name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise ModelCallError(f"there is no folder {name!r} to load a model from")
        found = cached_snapshot(name)
        if found is None:
            raise ModelCallError(
                f"the model {name!r} is neither a folder nor in the local Hugging Face cache, and "
                f"nothing is downloaded unasked: run `hf download {name}`, or name a folder"
            )
        folder = found
    return folder


def _find_weights(model: Path | str) -> Path:
    folder = _find_folder(model)
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ModelCallError(
            f"the folder {str(folder)!r} holds no model for vLLM: it needs config.json and "
            "*.safetensors (pickled weights are not read, GGUF files are for 'local:')"
        )
    return folder


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelCallError(f"the tokenizer in {str(folder)!r} is unusable: {error}") from error
