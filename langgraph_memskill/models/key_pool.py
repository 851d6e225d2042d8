"""A chat model that spreads its calls over several keys and URLs.

An endpoint is one key at one URL. A call goes to the endpoint with the fewest calls in flight; an
endpoint that is rate-limited or failing rests, and the call moves on to the next one. The pool is
the only layer that tries again: the models inside it are built without retries.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableParallel, RunnableSequence
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr, SecretStr, model_validator
from pydantic.json_schema import SkipJsonSchema

from langgraph_memskill.errors import ConfigError, ModelCallError
from langgraph_memskill.models.checked_model import CheckedChatModel
from langgraph_memskill.models.endpoints import (
    Endpoint,
    EndpointRota,
    EndpointStatus,
    fault_of,
    mask_key,
    public_url,
    redact,
)


class _Pair(NamedTuple):
    key: SecretStr | None
    url: str | None


@dataclass(slots=True)
class _Attempt:
    model: BaseChatModel
    has_streamed: bool = False
    """True once a chunk has gone out, after which no other endpoint may take over."""


class KeyPool(CheckedChatModel):
    """Several keys and URLs of one model behind one chat model.

    Which key goes with which URL: one URL (or none) serves all keys; one key (or none) is used at
    all URLs; otherwise there must be as many keys as URLs and they belong together in order. A key
    is never sent to a URL that it was not given for.

    An endpoint rests after a rate limit (HTTP 429, as long as Retry-After says), a server error
    (5xx), a failed connection or a timeout. It is out for good after HTTP 401 or 403. Any other
    error is the request's own fault and is raised at once. Streaming moves to another endpoint only
    as long as nothing was streamed.

    Example:
        ```python
        KeyPool(model="gpt-4.1-mini", keys=["sk-one", "sk-two"])
        KeyPool(model="qwen", base_urls=["http://gpu1:8000/v1", "http://gpu2:8000/v1"])
        ```
    """

    model: str = ""
    """Model name, the same at every URL; may be empty only with `models`."""
    keys: list[SecretStr] = Field(default_factory=list)
    """API keys. None at all is right for servers without keys."""
    base_urls: list[str] = Field(default_factory=list, repr=False)
    """OpenAI-compatible URLs ("https://host/v1"); none means OpenAI's own."""
    models: SkipJsonSchema[list[BaseChatModel]] = Field(default_factory=list, repr=False)
    """Ready chat models of one class, instead of keys and URLs. Build them without retries."""
    parameters: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Further arguments of `ChatOpenAI` (temperature, max_tokens ...)."""
    rest_s: float = Field(default=30.0, gt=0)
    """Seconds that a failing endpoint rests when the server does not say how long."""
    max_wait_s: float = Field(default=120.0, ge=0)
    """Seconds after its start in which a call may still be tried again or wait for an endpoint."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Seconds to wait for the server in one try (endpoints built from keys and URLs)."""

    _rota: EndpointRota = PrivateAttr()

    @model_validator(mode="after")
    def _build(self) -> Self:
        self._rota = EndpointRota(self._endpoints_of_models() or self._endpoints_of_pairs())
        return self

    def _endpoints_of_models(self) -> list[Endpoint]:
        if not self.models:
            return []
        if self.keys or self.base_urls or self.parameters:
            raise ConfigError("KeyPool takes either models or keys/base_urls/parameters, not both")
        classes = sorted({type(model).__name__ for model in self.models})
        if len(classes) > 1:
            raise ConfigError(
                f"KeyPool got models of the classes {classes!r}; use one class, because bound "
                "tools and schemas are translated once for all of them"
            )
        return [
            Endpoint(label=f"model {number} ({classes[0]})", model=model)
            for number, model in enumerate(self.models, start=1)
        ]

    def _endpoints_of_pairs(self) -> list[Endpoint]:
        if not self.model:
            raise ConfigError("KeyPool needs a model name, for example model='gpt-4.1-mini'")
        from langchain_openai import ChatOpenAI

        endpoints = []
        for key, url in self._pairs():
            model = ChatOpenAI(
                **{
                    "timeout": self.timeout_s,
                    **self.parameters,
                    "model": self.model,
                    "api_key": key or SecretStr("EMPTY"),
                    "base_url": url,
                    "max_retries": 0,
                }
            )
            place = public_url(url) if url else "the default URL"
            label = f"key {mask_key(key)} at {place}" if key else f"{place} (no key)"
            endpoints.append(Endpoint(label=label, model=model))
        return endpoints

    def _pairs(self) -> list[_Pair]:
        for url in self.base_urls:
            if not url.startswith(("http://", "https://")):
                raise ConfigError(
                    f"base_urls holds {public_url(url)!r}; write it like 'https://host:port/v1'"
                )
        keys: list[SecretStr | None] = list(self.keys)
        urls: list[str | None] = list(self.base_urls)
        if any(not key.get_secret_value().strip() for key in self.keys):
            raise ConfigError(f"KeyPool got {len(keys)} keys and at least one of them is empty")
        if not keys and not urls:
            raise ConfigError(
                "KeyPool has neither keys nor base_urls nor models; pass keys=['sk-...'] for "
                "OpenAI or base_urls=['http://localhost:8000/v1'] for a server of your own"
            )
        if len(urls) <= 1:
            return [_Pair(key, urls[0] if urls else None) for key in keys or [None]]
        if len(keys) <= 1:
            return [_Pair(keys[0] if keys else None, url) for url in urls]
        if len(keys) != len(urls):
            raise ConfigError(
                f"KeyPool got {len(keys)} keys and {len(urls)} base_urls; give one of either, or "
                "as many keys as URLs (they belong together in order)"
            )
        return [_Pair(key, url) for key, url in zip(keys, urls, strict=True)]

    @property
    def endpoints(self) -> tuple[EndpointStatus, ...]:
        """How each endpoint is doing right now, keys masked."""
        return self._rota.status()

    @property
    def _llm_type(self) -> str:
        return "key-pool"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        first = self._rota.first
        return {"model": self.model, "endpoint_class": type(first).__name__}

    def _resolve_model_profile(self) -> Any:
        first = self.models[0] if self.models else None
        return first.profile if first else None

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        deadline = time.monotonic() + self.max_wait_s
        while True:
            with self._attempt(self._next_endpoint(deadline), deadline) as attempt:
                return attempt.model._generate(
                    messages, stop=stop, run_manager=run_manager, **kwargs
                )

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        deadline = time.monotonic() + self.max_wait_s
        while True:
            with self._attempt(await self._anext_endpoint(deadline), deadline) as attempt:
                return await attempt.model._agenerate(
                    messages, stop=stop, run_manager=run_manager, **kwargs
                )

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        deadline = time.monotonic() + self.max_wait_s
        while True:
            with self._attempt(self._next_endpoint(deadline), deadline) as attempt:
                for chunk in attempt.model._stream(
                    messages, stop=stop, run_manager=run_manager, **kwargs
                ):
                    attempt.has_streamed = True
                    yield chunk
                return

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        deadline = time.monotonic() + self.max_wait_s
        while True:
            with self._attempt(await self._anext_endpoint(deadline), deadline) as attempt:
                async for chunk in attempt.model._astream(
                    messages, stop=stop, run_manager=run_manager, **kwargs
                ):
                    attempt.has_streamed = True
                    yield chunk
                return

    def _should_stream(self, **kwargs: Any) -> bool:
        # Ready models need not be able to stream; ChatOpenAI can.
        first = type(self._rota.first)
        can_stream = first._stream is not BaseChatModel._stream or (
            bool(kwargs.get("async_api")) and first._astream is not BaseChatModel._astream
        )
        return can_stream and super()._should_stream(**kwargs)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; they are offered at whichever endpoint takes the call.

        Args:
            tools: As for any chat model.
            tool_choice: As for any chat model.
            **kwargs: Passed on to the endpoints' own `bind_tools`.

        Returns:
            The pool with the tools bound to it.
        """
        first = self._rota.first
        return _replace(first.bind_tools(tools, tool_choice=tool_choice, **kwargs), first, self)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Ask for output that fits a schema, in the way that the endpoints' class does it.

        Args:
            schema: A pydantic model, TypedDict or JSON schema.
            include_raw: Return a dict of raw message, parsed value and parsing error.
            **kwargs: Passed on to the endpoints' own `with_structured_output`.

        Returns:
            A runnable over the whole pool.
        """
        first = self._rota.first
        chain = first.with_structured_output(schema, include_raw=include_raw, **kwargs)
        return _replace(chain, first, self)

    def _next_endpoint(self, deadline: float) -> Endpoint:
        while True:
            found = self._rota.take(deadline)
            if isinstance(found, Endpoint):
                return found
            time.sleep(found)

    async def _anext_endpoint(self, deadline: float) -> Endpoint:
        while True:
            found = self._rota.take(deadline)
            if isinstance(found, Endpoint):
                return found
            await asyncio.sleep(found)

    @contextmanager
    def _attempt(self, endpoint: Endpoint, deadline: float) -> Iterator[_Attempt]:
        """One try at an endpoint; swallows a failure that another endpoint can make good."""
        attempt = _Attempt(endpoint.model)
        try:
            yield attempt
        except Exception as error:  # noqa: BLE001  every provider has its own error classes
            fault = fault_of(error, self.rest_s)
            if fault is not None:
                self._rota.failed(endpoint, fault)
            if fault is None or attempt.has_streamed:
                self._raise_without_keys(endpoint, error)
            if time.monotonic() >= deadline:
                raise self._rota.exhausted() from None
        else:
            self._rota.succeeded(endpoint)
        finally:
            self._rota.release(endpoint)

    def _raise_without_keys(self, endpoint: Endpoint, error: Exception) -> NoReturn:
        text = redact(str(error), self.keys)
        if text == str(error):
            raise error
        # The original holds a key, so it may not even show up as the cause.
        raise ModelCallError(f"{endpoint.label} refused the request: {text}") from None


def _replace(
    chain: Runnable[Any, Any], model: BaseChatModel, pool: KeyPool
) -> Runnable[LanguageModelInput, Any]:
    """Rebuild a chain around a model with the pool in the model's place."""
    if chain is model:
        return pool
    if isinstance(chain, RunnableBinding):
        return chain.model_copy(update={"bound": _replace(chain.bound, model, pool)})
    if isinstance(chain, RunnableSequence):
        return RunnableSequence(*(_replace(step, model, pool) for step in chain.steps))
    if isinstance(chain, RunnableParallel):
        return RunnableParallel(
            {name: _replace(step, model, pool) for name, step in chain.steps__.items()}
        )
    return chain
