"""The select_skills node: the controller picks K skills for every span (METHOD steps 2 to 5)."""

import asyncio
from typing import Any

from langgraph.runtime import Runtime

from langgraph_memskill.controller.selectors import SelectionRequest, Selector
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.nodes.base import Node
from langgraph_memskill.records import Memory, Span
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import ConstructionState, dump_all, load_all
from langgraph_memskill.traces.recording import TraceRecorder


class SelectSkillsNode(Node[ConstructionState]):
    """Reads `batch` and `retrieved`, writes `selected` and appends to `selections`.

    With a recorder it also writes `choices`, which the store node completes to traces.
    """

    def __init__(
        self,
        bank: SkillBank,
        selector: Selector,
        encoder: TextEncoder,
        *,
        skills_per_span: int = 5,
        recorder: TraceRecorder | None = None,
    ) -> None:
        """Make the node.

        Args:
            bank: The skills on offer.
            selector: What chooses: a trained controller, or one that needs no training.
            encoder: Embeds spans and memories; what the retrieval embedded is in its cache.
            skills_per_span: K, >= 1; never more than there are skills.
            recorder: Notes what the selector saw; None notes nothing.
        """
        self._recorder = recorder
        self._bank = bank
        self._selector = selector
        self._encoder = encoder
        self._skills_per_span = skills_per_span

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Choose for all spans of the batch at once."""
        spans = load_all(Span, state["batch"])
        memories = [load_all(Memory, documents) for documents in state["retrieved"]]
        texts = [s.text for s in spans] + [m.content for found in memories for m in found]
        rows = iter(self._encoder.encode(texts))
        embeddings = [next(rows) for _ in spans]
        requests = [
            SelectionRequest(
                span=embedding, memories=self._encoder.encode([m.content for m in found])
            )
            for embedding, found in zip(embeddings, memories, strict=True)
        ]
        selections = self._selector.select(requests, self._bank, self._skills_per_span)
        chosen = dump_all(selections)
        update: dict[str, Any] = {"selected": chosen, "selections": chosen}
        if self._recorder is not None:
            choices = self._recorder.choices(requests, self._bank, self._selector, selections)
            update["choices"] = dump_all(choices)
        return update

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, in a worker thread: it computes, so it would block the loop."""
        return await asyncio.to_thread(self, state, runtime)
