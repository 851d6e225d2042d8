"""A runner for commands, and one memory folder that many tests read."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from typer.testing import CliRunner, Result

from langgraph_memskill.cli import app

Run = Callable[..., Result]

CONVERSATION = (
    "Ann said that she moved to Lisbon on 3 May 2023 and works there as a nurse.\n\n"
    "Ben said that he adopted a grey cat named Biscuit from the shelter."
)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine's, no folder but the test's own, and no line breaks in between."""
    for name in os.environ:
        if name.startswith(("MEMSKILL_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run() -> Run:
    """Runs `memskill` with the given arguments, in this process."""

    def invoke(*arguments: object, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, [str(part) for part in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def fakes(
    monkeypatch: pytest.MonkeyPatch, model: BaseChatModel, encoder: Embeddings
) -> BaseChatModel:
    """The commands use the toy encoder and the model that obeys orders in the text."""
    monkeypatch.setattr("langgraph_memskill.memory.load_model", lambda *_, **__: model)
    for module in ("memory", "embedding"):
        monkeypatch.setattr(f"langgraph_memskill.{module}.load_encoder", lambda *_: encoder)
    return model


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A memory folder with some real memories; no test may have changed it."""
    folder = tmp_path_factory.mktemp("prepared") / "memdir"
    arguments = ["remember", CONVERSATION, "--time", "8 May 2023", "--folder", str(folder)]
    result = CliRunner().invoke(app, [*arguments, "--model", "extractive"])
    assert result.exit_code == 0, result.output
    before = fingerprint(folder / "skills")
    yield folder
    assert fingerprint(folder / "skills") == before


def fingerprint(folder: Path) -> dict[str, str]:
    """A hash of every file below a folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def hashes() -> Callable[[Path], dict[str, str]]:
    """Hashes every file below a folder."""
    return fingerprint
