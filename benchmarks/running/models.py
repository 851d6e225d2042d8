"""The models of a run, as the user named them."""

from dataclasses import dataclass
from typing import Literal

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.benchmarks.run_log import ModelLog
from langgraph_memskill.benchmarks.running.environment import without_credentials
from langgraph_memskill.models import model_name


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def log(self, role: Literal["executor", "reader", "judge"]) -> ModelLog:
        """What the log says of it in a role."""
        return ModelLog(role=role, name=self.name, spec=self.public_spec)
