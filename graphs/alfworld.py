"""The acting graph: an agent with memory plays a game (METHOD, "Questions and acting").

```
START -> begin -> recall -> act -> step -> END
                             ^       |
                             +-------+   until the game is over, or the steps are used up
```
"""

from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import RetryPolicy

from langgraph_memskill.alfworld.agents import Agent, Scene
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.records import GameFile, GameState, GameStep
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ConfigError, EngineStoppedError, ModelCallError
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.ranges import check_count
from langgraph_memskill.records import Memory
from langgraph_memskill.search.hybrid import HybridSearch
from langgraph_memskill.search.settings import SearchSettings
from langgraph_memskill.state import Document, dump, load, load_all

QuerySource = Literal["objective", "first_observation"]
_NODES_A_STEP = 2
_OTHER_NODES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingContext:
    """The run context of the acting graph."""

    engine: Engine
    """Plays the game; nobody else may use it meanwhile."""


class ActingState(TypedDict, total=False):
    """State of the acting graph; the input is `game`."""

    game: Document
    """A `GameFile`."""
    first_observation: str
    memories: list[str]
    """Contents of the recalled memories, best first."""
    recalled: list[Document]
    """Their ids and similarities: `id` and `score`."""
    now: Document
    """The present `GameState`."""
    action: str
    """The chosen command."""
    reply: str | None
    """What a model said for it."""
    match: str
    """How the reply led to the command (`MatchKind`)."""
    replies: list[str | None]
    """What a model said for each command so far."""
    matches: list[str]
    """How each reply so far led to its command (`MatchKind`)."""
    steps: list[Document]
    """The `GameStep`s so far."""
    misses: int
    """Replies that fitted no command."""
    error: str | None
    """Why the game was broken off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Where an agent's memories are.

    Raises:
        ConfigError: If `top_k` is below 1, or there is no such `query`.
    """

    store: BaseStore
    encoder: TextEncoder
    namespace: Namespace
    top_k: int = 20
    query: QuerySource = "objective"
    """What memories are looked for by; if it is empty, the other one."""
    search: SearchSettings = SearchSettings()

    def __post_init__(self) -> None:
        """Check the range and the name."""
        check_count(self, 1, "top_k")
        if self.query not in get_args(QuerySource):
            known = ", ".join(map(repr, get_args(QuerySource)))
            raise ConfigError(f"query={self.query!r} must be one of {known}")

    def text(self, objective: str, first_observation: str) -> str:
        """What memories are looked for by; empty if the game says nothing."""
        if self.query == "objective":
            return objective or first_observation
        return first_observation or objective

    async def find(self, state: GameState, first_observation: str) -> list[Memory]:
        """The memories that fit a game, best first."""
        query = self.text(state.objective, first_observation)
        if not query:
            return []
        searcher = HybridSearch(self.store, self.encoder, self.search)
        return await searcher.asearch(self.namespace, query, self.top_k)


def build_acting_graph(
    agent: Agent, *, recall: Recall | None = None, max_steps: int = 50, attempts: int = 1
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the acting graph; it is asynchronous.

    Args:
        agent: Chooses the commands.
        recall: The agent's memories; None lets it play without any.
        max_steps: Commands of a game at most, >= 1.
        attempts: How often an agent is asked for a command whose model call fails, >= 1.

    Returns:
        A graph over `ActingState` with `ActingContext`. A game that cannot be loaded raises
        GameLoadError; an engine that stops within a game ends it, with the reason in `error`.
    """

    async def begin(state: ActingState, runtime: Runtime[ActingContext]) -> ActingState:
        now = await runtime.context.engine.areset(load(GameFile, state["game"]))
        first = GameStep(action=None, observation=now.observation)
        return {
            "first_observation": now.observation,
            "now": dump(now),
            "steps": [dump(first)],
            "misses": 0,
            "replies": [],
            "matches": [],
            "error": None,
        }

    async def remember(state: ActingState) -> ActingState:
        if recall is None:
            return {"memories": [], "recalled": []}
        now = load(GameState, state["now"])
        found = await recall.find(now, state["first_observation"])
        return {
            "memories": [memory.content for memory in found],
            "recalled": [{"id": memory.id, "score": memory.score} for memory in found],
        }

    async def act(state: ActingState, runtime: Runtime[ActingContext]) -> ActingState:
        scene = Scene(
            first_observation=state["first_observation"],
            memories=tuple(state["memories"]),
            steps=tuple(load_all(GameStep, state["steps"])),
            state=load(GameState, state["now"]),
        )
        try:
            choice = await agent.act(scene, runtime.context.engine)
        except EngineStoppedError as error:
            return {"error": str(error)}
        return {
            "action": choice.match.command,
            "reply": choice.reply,
            "replies": [*state["replies"], choice.reply],
            "match": choice.match.kind.value,
            "matches": [*state["matches"], choice.match.kind.value],
            "misses": state["misses"] + (choice.match.kind == "miss"),
        }

    async def step(state: ActingState, runtime: Runtime[ActingContext]) -> ActingState:
        try:
            now = await runtime.context.engine.astep(state["action"])
        except EngineStoppedError as error:
            return {"error": str(error)}
        done = GameStep(
            action=state["action"],
            observation=now.observation,
            reward=now.reward,
            done=now.is_done,
        )
        return {"now": dump(now), "steps": [*state["steps"], dump(done)]}

    def after_act(state: ActingState) -> str:
        return END if state["error"] else "step"

    def after_step(state: ActingState) -> str:
        now = state["now"]
        is_over = state["error"] or now["is_done"] or now["num_steps"] >= max_steps
        return END if is_over else "act"

    builder = StateGraph(ActingState, context_schema=ActingContext)
    builder.add_node("begin", begin)
    builder.add_node("recall", remember)
    retry = RetryPolicy(max_attempts=attempts, retry_on=ModelCallError)
    builder.add_node("act", act, retry_policy=retry)
    builder.add_node("step", step)
    builder.add_edge(START, "begin")
    builder.add_edge("begin", "recall")
    builder.add_edge("recall", "act")
    builder.add_conditional_edges("act", after_act, ["step", END])
    builder.add_conditional_edges("step", after_step, ["act", END])
    graph = builder.compile(name="acting")
    return graph.with_config(recursion_limit=_NODES_A_STEP * max_steps + _OTHER_NODES)
