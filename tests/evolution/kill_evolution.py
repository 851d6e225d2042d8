"""Evolves the skills of a folder in processes that are killed, and goes on in others.

`python kill_evolution.py FOLDER` prints what came of it as JSON; `test_kills.py` runs it.
"""

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from langgraph_memskill.evolution.approval import Decision
from langgraph_memskill.evolution.designer import Designer
from langgraph_memskill.evolution.evolving import start_of
from langgraph_memskill.evolution.files import EvolutionFiles
from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.nodes.designing import DesigningNode
from langgraph_memskill.evolution.places import FolderBank
from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.graphs.evolution import EvolutionParts
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.versions import SkillVersions
from langgraph_memskill.testing.designer import RuleDesigner

QUESTIONS = (
    "When did Ann paint the garden fence?",
    "Where does Clara keep her bicycle?",
    "What instrument does Bob practise?",
    "What colour is the garden fence?",
)


class LengthEncoder(Embeddings):
    """Texts as far apart as their letters; the same in every process."""

    name, dim = "letters", 26

    def encode(self, texts: Any) -> NDArray[np.float32]:
        rows = [[text.lower().count(chr(97 + n)) for n in range(self.dim)] for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), self.dim)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.encode(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.encode([text])[0].tolist()


def drive(folder: Path) -> None:
    """Do whatever is next, until the evolution is at its end."""
    versions = SkillVersions(folder / "skill_versions", folder / "skills")
    files = EvolutionFiles(folder / "evolution")
    designer = RuleDesigner(improvements=1)
    parts = EvolutionParts(
        designer=Designer(designer),
        encoder=LengthEncoder(),
        place=FolderBank(versions),
        source=files.pool.cases,
        keep=lambda *_: files.pool.move_on(1),
    )
    while True:
        current = versions.current()
        pending = files.runs.pending(parts)
        if pending and pending[0].is_waiting:
            decision = Decision.accept_all(pending[0].result.changes)
            files.runs.resume(parts, pending[0].id, decision)
        elif pending:
            files.runs.resume(parts, pending[0].id)
        elif current is not None and current.note.evolution_id:
            break
        else:
            files.runs.start(parts, start_of(designer="rules", approve=True))
    files.close()


def prepare(folder: Path) -> None:
    SkillBank.seed().save(folder / "skills")
    files = EvolutionFiles(folder / "evolution")
    files.pool.add_all(HardCase(id=f"q{n}", question=text) for n, text in enumerate(QUESTIONS))
    files.close()


def watched(strike: Callable[[str], None]) -> None:
    """Call `strike` before and after every node, and around every write of the bank."""

    def around(owner: Any, name: str, told: Callable[[Any], str]) -> None:
        original = getattr(owner, name)

        def replacement(self: Any, *args: Any, **options: Any) -> Any:
            strike(f"before {told(self)}")
            result = original(self, *args, **options)
            strike(f"after {told(self)}")
            return result

        setattr(owner, name, replacement)

    around(EvolutionNode, "__call__", lambda node: type(node).__name__)
    around(DesigningNode, "__call__", lambda node: type(node).__name__)
    for name in ("_record", "_write_switches", "_settle"):
        around(SkillVersions, name, lambda _, name=name: name)


def in_child(work: Callable[[], None]) -> int:
    """Run something in a process of its own; the signal that ended it, or its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def told(folder: Path) -> dict[str, Any]:
    """Everything that must be the same however often it was killed."""
    versions = SkillVersions(folder / "skill_versions", folder / "skills")
    bank = versions.load()
    evolved = [v for v in versions.log() if v.note.evolution_id]
    files = EvolutionFiles(folder / "evolution")
    return {
        "bank": [[s.name, s.description, s.instructions, s.action_type.value] for s in bank],
        "evolved versions": len(evolved),
        "switches": len(versions.switches()),
        "cases": len(files.pool.cases()),
        "epoch": files.pool.epoch,
    }


def main(root: Path) -> None:
    prepare(root / "start")
    shutil.copytree(root / "start", root / "whole")
    places: list[str] = []
    log = root / "places"

    def note_places() -> None:
        watched(places.append)
        drive(root / "whole")
        log.write_text("\n".join(places))

    assert in_child(note_places) == 0
    places = log.read_text().splitlines()
    expected = told(root / "whole")
    problems = []
    for number, place in enumerate(places):
        folder = root / f"killed{number}"
        shutil.copytree(root / "start", folder)

        def killed(folder: Path = folder, number: int = number) -> None:
            seen = -1

            def strike(_: str) -> None:
                nonlocal seen
                seen += 1
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)

            watched(strike)
            drive(folder)

        if in_child(killed) != -signal.SIGKILL:
            problems.append(f"{place}: was not killed")
        if in_child(lambda folder=folder: drive(folder)) != 0:
            problems.append(f"{place}: could not go on")
        elif (found := told(folder)) != expected:
            problems.append(f"{place}: {found}")
    names = [row[0] for row in expected["bank"]]
    report = {"places": places, "problems": problems, "skills": names}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    for slow in ("nltk.stem.porter", "sklearn.cluster"):
        importlib.import_module(slow)  # once, instead of in every child
    main(Path(sys.argv[1]))
