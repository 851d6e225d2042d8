"""A process that notes what others note too and adds to a tally that they share."""

import importlib
import json

from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.settings import Budget, Settings
from tests.conftest import WordEncoder
from tests.forks import serve
from tests.writing.conftest import TallyModel


def main(arguments: list[str]) -> None:
    """Remember, with a user's budget of calls, and print what was done.

    The arguments are the folder, a name, the number of rounds and that of calls.
    """
    folder, name, rounds, calls = arguments
    model, encoder = TallyModel(), WordEncoder()
    settings = Settings(budgets=(Budget(calls=int(calls), per="user"),))
    failed: list[str] = []
    with MemSkillMemory.open(folder, model, encoder=encoder, settings=settings) as memory:
        for number in range(int(rounds)):
            for order in ("note Ann has 2 grey cats", f"add {name}{number}"):
                result = memory.remember(order, user_id="u")
                failed += [entry.reason for entry in result.failed]
    print(json.dumps({"calls": model.num_calls, "failed": failed}))  # noqa: T201


if __name__ == "__main__":
    importlib.import_module("chromadb.api.rust")  # once, instead of in every fork
    serve(main)
