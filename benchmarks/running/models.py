"""The models of a run, as the user named them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.benchmarks.run_log import ModelLog
from langgraph_memskill.benchmarks.running.environment import without_credentials
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.models import model_name
from langgraph_memskill.models.local_model import LocalChatModel


@dataclass(frozen=True, kw_only=True)  # without slots, which a cached property cannot have
class NamedModel:
    """A chat model, and how the user named it."""

    model: BaseChatModel
    spec: str = ""

    @property
    def name(self) -> str:
        """As tables and prices name it."""
        return model_name(self.model)

    @property
    def public_spec(self) -> str:
        """How it was named, without credentials."""
        return without_credentials(self.spec)

    @cached_property
    def sha256(self) -> str | None:
        """Of the file of a model that runs in this process; None for all others.

        The whole file is read: its path, size and time can stay the same when its content does not,
        and memories of another model must not be taken for this one's. The model's engine reads
        the file as well, so that this costs little beside the first call.

        Raises:
            ModelCallError: If the file cannot be read any more.
        """
        if not isinstance(self.model, LocalChatModel):
            return None
        try:
            with self.model.model_path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            path = str(self.model.model_path)
            raise ModelCallError(f"cannot read the model file {path!r}: {error}") from error

    @property
    def identity(self) -> str:
        """What tells it from models of the same name: how it was named, and its file."""
        return self.public_spec if self.sha256 is None else f"{self.public_spec} {self.sha256}"

    def log(self, role: Literal["executor", "reader", "judge"]) -> ModelLog:
        """What the log says of it in a role."""
        return ModelLog(role=role, name=self.name, spec=self.public_spec, sha256=self.sha256)


def number_format(encoder: TextEncoder) -> str | None:
    """The number format that an encoder was told to compute in, which its last digits depend on."""
    found: str | None = getattr(encoder, "dtype", None)
    return found


def encoder_log(encoder: TextEncoder) -> ModelLog:
    """What the log says of an encoder."""
    return ModelLog(role="encoder", name=encoder.name, dtype=number_format(encoder))
