"""Models and encoders by their names, which is how they reach a worker."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.models.loading import KEY_VARIABLE

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langgraph_memskill.embedding import TextEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """A text encoder, as `load_encoder` makes it."""

    spec: str | None = None
    """A folder or name; None is the bundled MiniLM."""
    batch_size: int = 64
    by_length: bool = False
    dtype: str | None = None
    """Number format, the same on all machines."""

    def load(self) -> "TextEncoder":
        """The encoder, made once a process.

        Raises:
            MemSkillError: One of its children, if there is no such encoder on this machine.
        """
        return _encoder(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A chat model, as `load_model` makes it. Its key is in no field: it is in the environment.

    Raises:
        ConfigError: If the name is empty, or holds what may be a secret.
    """

    spec: str
    key_variable: str = KEY_VARIABLE

    def __post_init__(self) -> None:
        """Keep secrets out of the cluster's memory and logs."""
        if not self.spec.strip():
            raise ConfigError(
                "a worker makes its models from their names: name one, as in --model, instead of "
                "passing a chat model object"
            )
        urls = self.spec.partition("#")[0].split(",") if "://" in self.spec else []
        for url in map(urlsplit, map(str.strip, urls)):
            if "@" in url.netloc or url.query:
                raise ConfigError(
                    f"the model URL for {url.hostname!r} holds a user, a password or a query, "
                    "which are not sent to a cluster: leave them out, and set "
                    f"{self.key_variable} on the machines of the workers"
                )

    def load(self, encoder: EncoderSpec) -> "BaseChatModel":
        """The model, made once a process.

        Args:
            encoder: For the extractive model.

        Raises:
            MemSkillError: One of its children, if the model cannot be made, or has no key.
        """
        return _model(self, encoder)


@cache
def _encoder(spec: EncoderSpec) -> "TextEncoder":
    from langgraph_memskill.embedding import load_encoder

    return load_encoder(
        spec.spec, batch_size=spec.batch_size, by_length=spec.by_length, dtype=spec.dtype
    )


@cache
def _model(spec: ModelSpec, encoder: EncoderSpec) -> "BaseChatModel":
    from langgraph_memskill.models import load_model

    return load_model(spec.spec, encoder=encoder.load(), key_variable=spec.key_variable)
