"""The evolution of a memory's skills as a graph of a LangGraph server.

```
START -> evolve -> decide -> END
            +----------------^
```
`MemSkillMemory.evolve` runs its own graph and keeps it in the memory folder; this one starts it
and, if a person is to decide, interrupts the server's run with the changes until he has. What
clients can read of it are skills, which all users share, never the cases that the designer saw.
"""

from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Checkpointer, interrupt
from pydantic import ValidationError

from langgraph_memskill.errors import EvolutionError, NamespaceError
from langgraph_memskill.evolution.approval import Decision
from langgraph_memskill.evolution.records import EvolutionResult, EvolutionStatus
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.namespaces import logged_in_user
from langgraph_memskill.state import Document, MemSkillContext, dump_all, load

PERMISSION = "memskill:evolve"
"""What the server's authentication has to permit a user who may change the skills."""

DECIDED = "decided"
"""The status if somebody else, such as `memskill evolve --resume`, took the decision."""


class SkillEvolutionState(TypedDict, total=False):
    """State of the graph; `approve` is its input."""

    approve: bool
    """Whether to interrupt the run for a person's decision about each change."""
    evolution_id: str
    status: str
    """The `EvolutionStatus`, or `DECIDED`."""
    reason: str
    changes: list[Document]
    """The `SkillChange`s, made or to be decided about."""
    version: str | None
    """Id of the skill bank's new version."""


def build_server_evolution(
    memory: MemSkillMemory,
    designer: str | BaseChatModel | None = None,
    *,
    checkpointer: Checkpointer = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph.

    A run that waits is resumed with `Command(resume={"accept": [1], "refuse": [2], "edits": []})`,
    the fields of a `Decision`. A decision that does not fit interrupts it once more, with the
    "problem".

    Args:
        memory: Whose skills evolve.
        designer: The designer, as `load_model` understands it; None takes the memory's own model.
        checkpointer: Any LangGraph checkpointer; a server brings its own.

    Returns:
        A graph over `SkillEvolutionState`. On a server with authentication its runs need a user
        with the permission `PERMISSION`.
    """

    async def evolve(
        state: SkillEvolutionState, runtime: Runtime[MemSkillContext]
    ) -> SkillEvolutionState:
        _check_permission(runtime)
        if left := await memory.apending_evolutions():
            # Only one at a time: what somebody else began comes first.
            if left[0].is_waiting:
                return _told(left[0].result)
            return _told(await memory.aresume_evolution(left[0].id, model=designer))
        return _told(await memory.aevolve(designer, approve=state.get("approve", False)))

    async def decide(
        state: SkillEvolutionState, runtime: Runtime[MemSkillContext]
    ) -> SkillEvolutionState:
        _check_permission(runtime)
        problem = None
        while True:
            asked = {"changes": state["changes"], "reason": state["reason"], "problem": problem}
            decided = interrupt(asked)
            try:
                return await settle(state["evolution_id"], decided)
            except EvolutionError as error:
                # Nothing is changed yet, and a run that fails could not be asked again.
                problem = str(error)

    async def settle(evolution_id: str, decided: object) -> SkillEvolutionState:
        left = {pending.id: pending for pending in await memory.apending_evolutions()}
        if evolution_id not in left:
            return {"status": DECIDED, "reason": "the changes were decided about elsewhere"}
        # A run that failed behind the decision (the gate's model was down) has it already.
        decision = _decision(decided) if left[evolution_id].is_waiting else None
        return _told(await memory.aresume_evolution(evolution_id, decision, model=designer))

    builder = StateGraph(SkillEvolutionState, context_schema=MemSkillContext)
    builder.add_node("evolve", evolve)
    builder.add_node("decide", decide)
    builder.add_edge(START, "evolve")
    builder.add_conditional_edges("evolve", _next_node, ["decide", END])
    builder.add_edge("decide", END)
    return builder.compile(checkpointer=checkpointer, name="evolution")


def _next_node(state: SkillEvolutionState) -> str:
    return "decide" if state["status"] == EvolutionStatus.WAITING else END


def _told(result: EvolutionResult) -> SkillEvolutionState:
    return {
        "evolution_id": result.id,
        "status": result.status.value,
        "reason": result.reason,
        "changes": dump_all(result.changes),
        "version": result.version,
    }


def _decision(value: object) -> Decision:
    try:
        return load(Decision, value)  # type: ignore[arg-type]
    except ValidationError as error:
        raise EvolutionError(
            f"{value!r} is no decision: resume with "
            '{"accept": [1], "refuse": [2], "edits": [{"number": 3, "instructions": "..."}]}'
        ) from error


def _check_permission(runtime: Runtime[MemSkillContext]) -> None:
    user = logged_in_user(runtime)
    if user is not None and PERMISSION not in user.permissions:
        raise NamespaceError(
            f"{user.identity!r} may not change the skills that all users share: let the server's "
            f"authentication give him the permission {PERMISSION!r}"
        )
