"""The process in which one engine runs: JSON lines in, JSON lines out.

Only this module imports the engine, and it runs in a process of its own: the engine may print,
hang or crash there. Everything odd about it ends here: its banner, its order of facts (which
follows Python's hash seed), its commands with trailing blanks, its planner in a C library.
"""

import io
import json
import os
import queue
import re
import sys
import threading
from copy import copy, deepcopy
from functools import lru_cache
from typing import Any

_BANNER = re.compile(r"\A-=.*?=-\s*")


class Game:
    """The game that is loaded in this process."""

    def __init__(self) -> None:
        """Load no game yet; the engine is imported with the first one."""
        self._environment: Any = None
        self._state: Any = None

    def reset(self, path: str) -> dict[str, Any]:
        """Load a game and say what the agent sees first."""
        if self._environment is None:
            self._environment = _new_environment()
        self._state = None
        self._environment.load(path)
        self._state = self._environment.reset()
        return self._seen(0.0, False)

    def step(self, command: str) -> dict[str, Any]:
        """Give a command."""
        self._state, reward, is_done = self._environment.step(command)
        return self._seen(float(reward), bool(is_done))

    def plan(self) -> dict[str, Any]:
        """The planner's commands from here to the goal; none if it finds no way."""
        inner = self._environment.unwrapped
        commands = inner._pddl_state.replan(inner._entity_infos)
        return {"plan": [str(command).strip() for command in commands]}

    def _seen(self, reward: float, is_done: bool) -> dict[str, Any]:
        names = self._state["_entity_infos"]
        carried = [
            names[fact.arguments[1].name].name
            for fact in self._state["_facts"]
            if fact.name == "holds"
        ]
        return {
            "observation": _BANNER.sub("", str(self._state["feedback"])).strip(),
            "admissible": sorted({str(c).strip() for c in self._state["admissible_commands"]}),
            "inventory": sorted({str(name).strip() for name in carried}),
            "reward": reward,
            "is_done": is_done,
            "is_won": bool(self._state["won"]),
        }


def _new_environment() -> Any:
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs.pddl import PddlEnv, pddl

    class Environment(PddlEnv):  # type: ignore[misc]  # the engine has no types
        """Begins a game with the translation of it that loading has just made.

        The engine translates the whole game again, which takes as long as loading it.
        """

        def reset(self) -> Any:
            loaded, made = self._pddl_state, pddl.pddl_logic.PddlState
            pddl.pddl_logic.PddlState = lambda *_: loaded
            try:
                return super().reset()
            finally:
                pddl.pddl_logic.PddlState = made

    _parse_once()
    _copy_no_more_than_needed()
    return AlfredDemangler(Environment(textworld.EnvInfos(won=True, admissible_commands=True)))


def _parse_once() -> None:
    """Let the engine parse every text of its grammar once.

    It parses the same few hundred templates anew for every command, which takes two thirds of a
    step's time.
    """
    from textworld.envs.pddl import textgen
    from textworld.logic import Rule

    parse = lru_cache(maxsize=None)(textgen._parse_and_convert)

    def parsed(text: str, *, rule_name: str, **_: Any) -> Any:
        return deepcopy(parse(text, rule_name=rule_name))  # the engine writes into what it gets

    textgen._parse_and_convert = parsed
    Rule.parse_conjunctive_query = lru_cache(maxsize=None)(Rule.parse_conjunctive_query)


def _copy_no_more_than_needed() -> None:
    """Let the engine share what it never changes when it derives a text.

    It copies every entity of the game for every symbol of its grammar, which takes three quarters
    of the rest of a step's time. Dictionaries are copied, since it adds to them; what they hold is
    only read. A symbol's inner symbol gets its context just before it is derived, so it can be
    shared.
    """
    from textworld.envs.pddl import textgen

    def copy_context(context: dict[str, Any]) -> dict[str, Any]:
        own = {name: dict(context[name]) for name in ("variables", "mapping")}
        shared = {name: context[name] for name in ("state", "facts", "entity_infos")}
        return own | shared

    def copy_symbol(symbol: Any, context: dict[str, Any]) -> Any:
        made = copy(symbol)
        made.context = copy_context(context)
        return made

    textgen.copy_context = copy_context
    textgen.Symbol.copy = copy_symbol


def answer(game: Game, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request; whatever the engine raises becomes an answer, too."""
    try:
        match request["do"]:
            case "reset":
                return game.reset(request["path"])
            case "step":
                return game.step(request["command"])
            case "plan":
                return game.plan()
            case other:
                return {"error": f"unknown request {other!r}"}
    except Exception as error:  # noqa: BLE001  # the engine raises anything, KeyError for instance
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer requests until there are no more."""
    # The engine's prints, those of its C library included, must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    threading.Thread(target=_read, args=(source, requests), daemon=True).start()
    game = Game()
    while True:
        reply = answer(game, requests.get())
        answers.write(json.dumps(reply).encode("ascii") + b"\n")
        answers.flush()


def _read(source: io.BufferedReader, requests: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Queue the requests; when whoever asks is gone, end the process, even a stuck one."""
    for line in source:
        requests.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main()
