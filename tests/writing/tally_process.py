"""A process that notes what others note too and adds to a tally that they share."""

import importlib.util
import json
import sys
from pathlib import Path

from conftest import TallyModel  # type: ignore[attr-defined]  # beside this file

from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.settings import Budget, Settings

_FAKES = Path(__file__).parents[1] / "conftest.py"


def main(folder: Path, name: str, rounds: int, calls: int) -> None:
    """Remember, with a user's budget of calls, and print what was done."""
    spec = importlib.util.spec_from_file_location("fakes", _FAKES)
    assert spec is not None
    assert spec.loader is not None
    fakes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fakes)
    model, encoder = TallyModel(), fakes.WordEncoder()
    settings = Settings(budgets=(Budget(calls=calls, per="user"),))
    failed: list[str] = []
    with MemSkillMemory.open(folder, model, encoder=encoder, settings=settings) as memory:
        for number in range(rounds):
            for order in ("note Ann has 2 grey cats", f"add {name}{number}"):
                result = memory.remember(order, user_id="u")
                failed += [entry.reason for entry in result.failed]
    print(json.dumps({"calls": model.num_calls, "failed": failed}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
