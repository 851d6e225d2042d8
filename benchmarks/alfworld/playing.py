"""One game, played by the acting graph and written down for the result log."""

import time
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.graph.state import CompiledStateGraph

from langgraph_memskill.alfworld.actions import MatchKind
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.benchmarks.alfworld.material import TRAINING
from langgraph_memskill.benchmarks.run_log import ItemLog, RecalledLog, ScoreLog, StepLog
from langgraph_memskill.errors import GameError, MemSkillError, ModelCallError
from langgraph_memskill.graphs.alfworld import ActingContext, ActingState
from langgraph_memskill.records import Usage
from langgraph_memskill.state import dump
from langgraph_memskill.writing.usage import usage_of

SUCCESS = "success"
STEPS = "steps"
METRICS = (SUCCESS, STEPS)
"""Whether the task was solved (1 or 0), and in how many commands."""

BROKEN_OFF = "broken off: "
"""Beginning of the answer of a game whose engine died; such a game is a failure."""

_BEGINNING = "(the game begins)"


async def play_game(
    graph: CompiledStateGraph[Any, Any, Any, Any], engine: Engine, game: GameFile, max_steps: int
) -> ItemLog:
    """Play a game.

    Args:
        graph: The acting graph.
        engine: For this game alone.
        game: Which.
        max_steps: What a game that is not solved counts as.

    Returns:
        The game with its steps. One that cannot be loaded, or whose agent's model cannot be called,
        has an `error` and no scores; one whose engine dies has failed.
    """
    calls = _Calls()
    started = time.perf_counter()
    try:
        state = await graph.ainvoke(
            {"game": dump(game)},
            {"callbacks": [calls]},
            context=ActingContext(engine=engine),
        )
    except (GameError, ModelCallError) as error:
        return unplayed(game, error, calls.usage)
    final = cast(ActingState, state)
    num_steps = len(final["steps"]) - 1
    is_won = final["now"]["is_won"] and not final["error"]
    value = num_steps if is_won else max_steps
    return _item(game).model_copy(
        update={
            "text": final["now"]["objective"] or game.id,
            "answer": _answer(final, num_steps, is_won),
            "scores": {
                SUCCESS: ScoreLog(value=float(is_won)),
                STEPS: ScoreLog(value=float(value)),
            },
            "recalled": tuple(
                RecalledLog(memory_id=found["id"], score=_rounded(found["score"]))
                for found in final["recalled"]
            ),
            "steps": _steps(final),
            "usage": calls.usage,
            "seconds": time.perf_counter() - started,
        }
    )


def unplayed(game: GameFile, error: MemSkillError, usage: Usage | None = None) -> ItemLog:
    """A game of which nothing can be said.

    Args:
        game: Which.
        error: Why.
        usage: What was spent on it.
    """
    reason = f"{type(error).__name__}: {error}"
    return _item(game).model_copy(update={"error": reason, "usage": usage or Usage()})


def _item(game: GameFile) -> ItemLog:
    return ItemLog(id=game.id, sample=TRAINING, category=str(game.task_type), text=game.id)


def _answer(final: ActingState, num_steps: int, is_won: bool) -> str:
    if final["error"]:
        return f"{BROKEN_OFF}{final['error']}"
    outcome = f"{'solved' if is_won else 'not solved'} after {num_steps} commands"
    misses = final["misses"]
    return f"{outcome}; {misses} of {num_steps} replies fitted no command" if misses else outcome


def _steps(final: ActingState) -> tuple[StepLog, ...]:
    first, *others = final["steps"]
    begun = StepLog(observation=first["observation"], action=_BEGINNING)
    # The last command may have no answer.
    played = zip(others, final["replies"], final["matches"], strict=False)
    return (
        begun,
        *(
            StepLog(
                observation=step["observation"],
                action=step["action"],
                thought=reply if reply and reply.strip() != step["action"] else "",
                match="" if reply is None or match == MatchKind.EXACT else match,
                reward=step["reward"],
            )
            for step, reply, match in played
        ),
    )


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 6)


class _Calls(BaseCallbackHandler):
    """Counts the calls of an agent's model."""

    run_inline = True

    def __init__(self) -> None:
        self.usage = Usage()
        self._prompts: dict[UUID, list[BaseMessage]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        **kwargs: Any,
    ) -> None:
        self._prompts[run_id] = messages[0]

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        answer = response.generations[0][0]
        reply = answer.message if isinstance(answer, ChatGeneration) else answer.text
        self.usage += usage_of(self._prompts.pop(run_id, []), reply)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._prompts.pop(run_id, None)
        self.usage += Usage(calls=1)
