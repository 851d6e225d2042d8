"""The split node: text or messages become the spans of a new episode."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.input import spans_of
from langgraph_memskill.namespaces import NamespaceTemplate
from langgraph_memskill.nodes.base import Node
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE
from langgraph_memskill.records import Episode, Span
from langgraph_memskill.settings import Settings
from langgraph_memskill.state import ConstructionState, dump, load_all

_NUMBERED = re.compile(r"[0-9a-f]{32}/\d+")

_SET_BACK = (
    *("text", "messages", "spans", "time", "namespace", "episode_id"),
    *("outcomes", "actions", "rejected", "failed", "selections", "usage"),
)


class SplitNode(Node[ConstructionState]):
    """Reads `spans`, `messages` or `text`; writes `episode` and sets everything else back."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
    ) -> None:
        """Cut by `settings`; resolve `namespace` from the run if the state has none."""
        self._settings = settings or Settings()
        self._template = NamespaceTemplate(namespace)

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Cut the input into spans.

        Raises:
            ConfigError: If the state holds none of the three inputs.
            NamespaceError: If the namespace cannot be resolved, or is not the user's.
        """
        episode_id = state.get("episode_id") or uuid.uuid4().hex
        episode = Episode(
            id=episode_id,
            namespace=self._template.of_run(state.get("namespace"), runtime),
            spans=tuple(number_spans(self._spans(state), episode_id)),
        )
        return {"episode": dump(episode), "cursor": 0} | dict.fromkeys(_SET_BACK)

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node; cutting text is quick."""
        return self(state, runtime)

    def _spans(self, state: ConstructionState) -> list[Span]:
        if spans := state.get("spans"):
            return load_all(Span, spans)
        content = state.get("messages") or state.get("text")
        if not content:
            raise ConfigError("there is nothing to remember: give text, messages or spans")
        return spans_of(content, self._settings, state.get("time"))


def number_spans(spans: Sequence[Span], episode_id: str) -> list[Span]:
    """Give the spans of an episode ids that no other episode has.

    A span whose id already names an episode (one that comes back from the retry queue) keeps it, so
    that what it once wrote is recognised.
    """
    return [
        span if _NUMBERED.fullmatch(span.id) else replace(span, id=f"{episode_id}/{span.index}")
        for span in spans
    ]
