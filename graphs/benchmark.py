"""The benchmark graph: rows and samples side by side, and in each of them the questions.

```
START -> unit (one task a row and sample) -> END         benchmark
START -> build -> ask (one task a question) -> END       unit
```
What is played is the context's affair: the graph spreads the work out, and tries a question again
whose model call failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import Annotated, Any, Protocol, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import RetryPolicy, Send

from langgraph_memskill.errors import ModelCallError


class Unit(Protocol):
    """One row with one sample."""

    async def build(self) -> list[int]:
        """Make the memories.

        Returns:
            Positions of the questions to ask.
        """

    async def ask(self, position: int, attempt: int) -> None:
        """Ask one question and keep what came of it.

        Args:
            position: Which.
            attempt: From 1.

        Raises:
            ModelCallError: If the model could not be called and the question is to be asked again.
        """

    async def close(self) -> None:
        """Let go of the memories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitContext:
    """What the unit graph works on."""

    unit: Unit


class UnitState(TypedDict, total=False):
    """State of the unit graph."""

    open: list[int]
    """Positions of the questions to ask."""
    asked: Annotated[int, add]


class AskTask(TypedDict):
    """One question."""

    position: int


class BenchmarkState(TypedDict, total=False):
    """State of the benchmark graph; `units` is its input."""

    units: int
    """How many there are."""
    played: Annotated[int, add]


class UnitTask(TypedDict):
    """One unit."""

    unit: int


class PlayUnit(Protocol):
    """The node that plays one unit."""

    async def __call__(self, state: UnitTask) -> BenchmarkState:
        """Play it."""


def build_unit_graph(attempts: int) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that builds the memories of a unit and asks its questions.

    Args:
        attempts: How often a question is asked whose model call fails, >= 1.
    """
    builder = StateGraph(UnitState, context_schema=UnitContext)
    builder.add_node("build", _build)
    builder.add_node(
        "ask",
        _ask,
        input_schema=AskTask,
        retry_policy=RetryPolicy(max_attempts=attempts, retry_on=ModelCallError),
    )
    builder.add_edge(START, "build")
    builder.add_conditional_edges("build", _questions, ["ask", END])
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=False, name="benchmark_unit")


def build_benchmark_graph(
    units: Sequence[Unit], *, attempts: int
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph that plays all units side by side.

    Args:
        units: What to play; each bounds by itself how much it does at a time.
        attempts: How often a question is asked whose model call fails, >= 1.
    """
    builder = StateGraph(BenchmarkState)
    builder.add_node("unit", _unit_node(units, attempts), input_schema=UnitTask)
    builder.add_conditional_edges(START, _units, ["unit", END])
    builder.add_edge("unit", END)
    return builder.compile(checkpointer=False, name="benchmark")


def _unit_node(units: Sequence[Unit], attempts: int) -> PlayUnit:
    graph = build_unit_graph(attempts)

    async def play(state: UnitTask) -> BenchmarkState:
        unit = units[state["unit"]]
        try:
            await graph.ainvoke({}, context=UnitContext(unit=unit))
        finally:
            await unit.close()
        return {"played": 1}

    return play


async def _build(state: UnitState, runtime: Runtime[UnitContext]) -> UnitState:
    return {"open": await runtime.context.unit.build()}


async def _ask(state: AskTask, runtime: Runtime[UnitContext]) -> UnitState:
    info = runtime.execution_info
    attempt = info.node_attempt if info is not None else 1
    await runtime.context.unit.ask(state["position"], attempt)
    return {"asked": 1}


def _questions(state: UnitState) -> list[Send] | str:
    tasks = [Send("ask", AskTask(position=position)) for position in state["open"]]
    return tasks or END


def _units(state: BenchmarkState) -> list[Send] | str:
    tasks = [Send("unit", UnitTask(unit=number)) for number in range(state["units"])]
    return tasks or END
