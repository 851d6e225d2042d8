"""The options that commands share, and opening the memory that they name."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from langgraph_memskill.cli.screen import Screen
from langgraph_memskill.errors import StoreError

if TYPE_CHECKING:
    from langgraph_memskill.embedding import TextEncoder
    from langgraph_memskill.memory import MemSkillMemory
    from langgraph_memskill.settings import Settings
    from langgraph_memskill.stored_memories import StoredMemories

DEFAULT_FOLDER = Path("memdir")
DEFAULT_USER = "default"
FOLDER_VARIABLE = "MEMSKILL_DIR"
MODEL_VARIABLE = "MEMSKILL_MODEL"
STORE_VARIABLE = "MEMSKILL_STORE"

FolderOption = Annotated[
    Path,
    typer.Option("--folder", "-f", envvar=FOLDER_VARIABLE, help="The folder of the memory."),
]
UserOption = Annotated[str, typer.Option("--user", "-u", help="Whose memories.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        envvar=MODEL_VARIABLE,
        help="'provider:name' (openai:gpt-4.1-mini), 'http://host:8000/v1#name', "
        "'local' or 'local:file.gguf' (llama.cpp), 'vllm:folder' (vLLM in here), 'extractive' "
        "(no LLM; 'extractive?notes_per_skill=4' limits what a skill takes from a span).",
        show_default="extractive",
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help="Text encoder: a sentence-transformers folder or name that is on this machine.",
        show_default="the bundled MiniLM",
    ),
]
DtypeOption = Annotated[
    str,
    typer.Option(
        "--dtype",
        help="Number format of the encoder: float32, bfloat16, float16, or auto, which is bfloat16 "
        "where the machine is built for it (CUDA, AMX) and float32 elsewhere.",
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar=STORE_VARIABLE,
        help="Where a new memory folder keeps its memories: 'postgresql://user@host/database' or "
        "the 'http://host:port' of a Chroma server. Later commands find it in the folder.",
        show_default="in the folder",
    ),
]
RecordOption = Annotated[
    bool,
    typer.Option(
        "--record",
        help="Record what the controller sees and chooses in traces/ of the folder, for training. "
        "Texts are not kept, only their hashes.",
    ),
]
RecordTextsOption = Annotated[
    bool, typer.Option("--record-texts", help="Record the texts, too (implies --record).")
]
ExploreOption = Annotated[
    bool,
    typer.Option(
        "--explore",
        help="Let a trained controller draw skills by their probabilities instead of taking the "
        "best, so that the recorded traces show how other choices fare.",
    ),
]
MaxCallsOption = Annotated[
    int | None,
    typer.Option(min=0, help="Model calls for each text or conversation at most; the rest waits."),
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option(min=0, help="Tokens for each text or conversation; the call in progress ends."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which memory a command works on."""

    folder: Path
    user: str = DEFAULT_USER
    encoder: str | None = None
    store: str | None = None
    """URL of a store elsewhere; None takes what the folder says."""


def check_exists(folder: Path) -> None:
    """Refuse a folder that holds no memory, so that reading never makes an empty one.

    Raises:
        StoreError: If there is no memory in the folder.
    """
    from langgraph_memskill.memory_folder import MemoryFolder

    if not MemoryFolder(folder).settings.is_file():
        start = f"memskill remember --folder {quote(str(folder))} TEXT"
        raise StoreError(
            f"there is no memory in the folder {str(folder)!r}. Name another one with --folder or "
            f"{FOLDER_VARIABLE}, or start one with: {start}"
        )


@contextmanager
def open_memory(
    place: Place,
    model: str | None,
    screen: Screen,
    *,
    create: bool = False,
    settings: "Settings | None" = None,
) -> "Iterator[MemSkillMemory]":
    """Open a memory with its chat model, and close it afterwards.

    Args:
        place: Which.
        model: What the user asked for; None is the extractive model, and that is said aloud.
        screen: Where to say so.
        create: Whether to make the folder if it holds no memory yet.
        settings: Numbers of the construction step.

    Raises:
        StoreError: If there is no memory in the folder and none may be made.
        MemSkillError: One of its other children, if a part is missing or does not fit.
    """
    if model is None:
        screen.note(
            f"No model was named (--model or {MODEL_VARIABLE}): using the extractive model, a "
            "baseline without an LLM."
        )
    with screen.busy("opening the memory"):
        if not create:
            check_exists(place.folder)
        from langgraph_memskill.memory import MemSkillMemory

        memory = MemSkillMemory.open(
            place.folder,
            "extractive" if model is None else model,
            store=place.store,
            encoder=place.encoder,
            settings=settings,
        )
    from langgraph_memskill.observed_runs import observers

    memory.observe(*observers())  # its background writer has a thread of its own
    try:
        yield memory
    finally:
        with screen.busy("closing the memory"):  # which waits for the background writer
            memory.close()


def run_settings(
    *,
    record: bool = False,
    texts: bool = False,
    explore: bool = False,
    max_calls: int | None = None,
    max_tokens: int | None = None,
) -> "Settings":
    """The settings that the options ask for; what a user's calls cost is counted in any case."""
    from langgraph_memskill.settings import Budget, Settings

    limit = Budget(calls=max_calls, tokens=max_tokens, per="run")
    return Settings(
        record_traces=record or texts,
        keep_trace_texts=texts,
        explore=explore,
        budgets=(Budget(per="user"), *[limit] * (limit != Budget())),
    )


@contextmanager
def open_for_recall(place: Place, *, create: bool = False) -> "Iterator[StoredMemories]":
    """Open the memories of a folder without a chat model, and close the store afterwards.

    Args:
        place: Which.
        create: Whether to make the folder if it holds no memory yet.

    Raises:
        StoreError: If there is no memory in the folder, or it cannot be opened.
        EmbeddingMismatchError: If it was made with another encoder.
    """
    if not create:
        check_exists(place.folder)
    from langgraph_memskill.embedding import load_encoder

    with _open_store(place.folder, load_encoder(place.encoder)) as stored:
        yield stored


@contextmanager
def open_for_reading(folder: Path) -> "Iterator[StoredMemories]":
    """Open the memories of a folder for everything that needs neither model nor encoder.

    Raises:
        StoreError: If there is no memory in the folder, or it cannot be opened.
    """
    check_exists(folder)
    with _open_store(folder, encoder_by_name(folder)) as stored:
        yield stored


@contextmanager
def _open_store(folder: Path, encoder: "TextEncoder") -> "Iterator[StoredMemories]":
    from langgraph_memskill.evolution.files import EvolutionFiles
    from langgraph_memskill.memory_folder import MemoryFolder
    from langgraph_memskill.memory_places import ClosableStore
    from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE
    from langgraph_memskill.settings import Settings
    from langgraph_memskill.stored_memories import StoredMemories
    from langgraph_memskill.traces.rewards import RewardRecorder

    paths = MemoryFolder(folder)
    paths.prepare(encoder)
    store, log = paths.open_memories(encoder)
    with ExitStack() as stack:
        stack.enter_context(closing(log))
        if isinstance(store, ClosableStore):
            stack.enter_context(closing(store))
        yield StoredMemories(
            store,
            encoder,
            DEFAULT_NAMESPACE,
            Settings().top_k,
            change_log=log,
            rewards=RewardRecorder(paths.traces),
            evolution=EvolutionFiles(paths.evolution),
        )


def encoder_by_name(folder: Path) -> "TextEncoder":
    """An encoder that has the name and width that the folder asks for, and embeds nothing.

    Loading the real one takes seconds, and listing memories does not need it.
    """
    from langchain_core.embeddings import Embeddings

    from langgraph_memskill.embedding import EmbeddingsEncoder

    class NoEmbeddings(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise AssertionError("this command embeds nothing")

        def embed_query(self, text: str) -> list[float]:
            raise AssertionError("this command embeds nothing")

    name, dim = read_fingerprint(folder)
    return EmbeddingsEncoder(NoEmbeddings(), name=name, dim=dim)


def read_fingerprint(folder: Path) -> tuple[str, int]:
    """Name and width of the encoder that a memory folder was made with.

    Raises:
        StoreError: If the folder's memory.json is damaged.
    """
    from langgraph_memskill.memory_folder import MemoryFolder

    file = MemoryFolder(folder).settings
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return str(document["encoder"]), int(document["dims"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file} is damaged ({type(error).__name__}: {error}): restore it from a backup"
        ) from error


def load_run_encoder(spec: str | None, dtype: str | None = None) -> "TextEncoder":
    """An encoder whose vectors depend on their texts alone, for repeatable runs.

    Neither the texts beside them nor the number of threads count, which differs on workers.

    Args:
        spec: A folder or name; None is the bundled MiniLM.
        dtype: Number format, as `SentenceEncoder` takes it.

    Raises:
        MemSkillError: One of its children, if there is no such encoder on this machine.
    """
    from langgraph_memskill.embedding import load_encoder

    return load_encoder(spec, by_length=True, dtype=dtype)
