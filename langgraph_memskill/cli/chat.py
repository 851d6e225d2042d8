"""`memskill chat`: a small chat with memory; its threads are kept in the memory's folder."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from langgraph_memskill.cli.content import decoded
from langgraph_memskill.cli.feedback import number
from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    DEFAULT_USER,
    EncoderOption,
    ExploreOption,
    FolderOption,
    JsonOption,
    ModelOption,
    Place,
    RecordOption,
    RecordTextsOption,
    StoreOption,
    UserOption,
    open_memory,
    run_settings,
)
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.cli.short_ids import full_id
from langgraph_memskill.errors import ConfigError, MemSkillError

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

    from langgraph_memskill.memory import MemSkillMemory

logger = logging.getLogger(__name__)

THREADS_FILE = "threads.sqlite"
"""File in the memory's folder with the threads of all users."""

_NOTE = re.compile(r"^<memory[ >]", re.MULTILINE)  # a note, as `recall_block` writes it
_HELP = (
    "/memories lists what is remembered, /forget ID forgets one, /reward NUMBER (0 to 1) says how "
    "well the last turn was remembered, /quit ends."
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent said."""

    text: str
    recalled: int
    """How many notes it was given."""
    episode_id: str | None
    """What the turn was remembered as; None if there was nothing to remember."""


def chat(
    thread: Annotated[str, typer.Option(help="The conversation to go on with.")] = "main",
    background: Annotated[
        bool, typer.Option("--background", help="Remember after the answer, while you read it.")
    ] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    store: StoreOption = None,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    record: RecordOption = False,
    record_texts: RecordTextsOption = False,
    explore: ExploreOption = False,
    as_json: JsonOption = False,
) -> None:
    """Chat with a model that remembers you. With --json, one line of JSON a reply."""
    screen = Screen(as_json=as_json)
    place = Place(folder=folder, user=user, encoder=encoder, store=store)
    settings = run_settings(record=record, texts=record_texts, explore=explore)
    with open_memory(place, model, screen, create=True, settings=settings) as memory:
        from langgraph_memskill.models import model_name

        screen.show(
            Text.assemble(
                ("memskill chat", "bold"),
                f": user {printable(user)}, thread {printable(thread)}, "
                f"model {printable(model_name(memory.model))}\n",
                (_HELP, "dim"),
            )
        )
        with _agent(memory, folder, background=background) as agent:
            session = _Session(screen, memory, agent, user, thread)
            for line in _lines():
                if not session.take(line):
                    break
    if session.failed:
        raise typer.Exit(1)


class _Session:
    """One run of the chat."""

    def __init__(
        self,
        screen: Screen,
        memory: "MemSkillMemory",
        agent: "CompiledStateGraph[Any, Any, Any, Any]",
        user: str,
        thread: str,
    ) -> None:
        self._screen = screen
        self._memory = memory
        self._agent = agent
        self._user = user
        self._thread = thread
        self._episode_id: str | None = None
        self.failed = False

    def take(self, line: str) -> bool:
        """Answer a line or obey a command; whether to go on."""
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "/quit":
                return False
            if word == "/memories":
                self._list()
            elif word == "/forget":
                self._forget(rest.strip())
            elif word == "/reward":
                self._reward(rest.strip())
            elif word.startswith("/"):
                self._screen.note(f"{word!r} is no command. {_HELP}")
            elif word:
                self._say(line.strip())
        except MemSkillError as error:
            self._complain(str(error))
        except Exception as error:  # a provider's own errors must not end the chat
            logger.debug("no reply", exc_info=True)
            self._complain(f"no reply ({type(error).__name__}: {error})")
        return True

    def _say(self, text: str) -> None:
        with self._screen.busy("thinking"):
            reply = ask(self._agent, text, user=self._user, thread=self._thread)
        self._episode_id = reply.episode_id
        self._screen.emit(
            {"text": reply.text, "recalled": reply.recalled, "episode_id": reply.episode_id},
            one_line=True,
        )
        notes = f"{counted(reply.recalled, 'note')} recalled"
        self._screen.show(Text(printable(reply.text), style="bold"), Text(notes, style="dim"))

    def _list(self) -> None:
        from langgraph_memskill.cli.rendering import memories_table
        from langgraph_memskill.state import dump_all

        self._memory.flush()
        found = sorted(self._memory.memories(user_id=self._user), key=lambda m: m.created_at)
        self._screen.emit({"memories": dump_all(found)}, one_line=True)
        self._screen.show(memories_table(found) if found else "Nothing is remembered yet.")

    def _forget(self, beginning: str) -> None:
        from langgraph_memskill.cli.rendering import action_lines
        from langgraph_memskill.state import dump

        wanted = full_id(self._memory, beginning, self._user)
        action = self._memory.forget(wanted, user_id=self._user)
        self._screen.emit(dump(action), one_line=True)
        self._screen.show(action_lines([action], [], None))

    def _reward(self, text: str) -> None:
        from langgraph_memskill.state import dump

        if self._episode_id is None:
            raise ConfigError("there is no turn to reward yet: say something first")
        feedback = self._memory.feedback(self._episode_id, number(text))
        self._screen.emit(dump(feedback), one_line=True)
        self._screen.show(Text(f"reward {feedback.reward:g} recorded", style="dim"))

    def _complain(self, text: str) -> None:
        self.failed = True
        self._screen.error(text)


def ask(
    agent: "CompiledStateGraph[Any, Any, Any, Any]", text: str, *, user: str, thread: str
) -> Reply:
    """Say something to the agent.

    Args:
        agent: What `build_chat_agent` gives.
        text: Not blank.
        user: Whose memories.
        thread: Name of the conversation; each user has threads of his own.
    """
    from langgraph_memskill.namespaces import encode_label
    from langgraph_memskill.state import MemSkillContext

    config: RunnableConfig = {
        "configurable": {"thread_id": f"{encode_label(user)}/{encode_label(thread)}"}
    }
    context = MemSkillContext(user_id=user)
    message = {"messages": [{"role": "user", "content": text}]}
    said, notes = "", ""
    episode_id: str | None = None
    for update in agent.stream(message, config, context=context, stream_mode="updates"):
        for change in update.values():
            notes = (change or {}).get("memskill_recalled", notes)
            episode_id = (change or {}).get("memskill_episode_id", episode_id)
            for reply in (change or {}).get("messages", []):
                said = str(reply.text)
    return Reply(said, len(_NOTE.findall(notes)), episode_id)


@contextmanager
def _agent(
    memory: "MemSkillMemory", folder: Path, *, background: bool
) -> "Iterator[CompiledStateGraph[Any, Any, Any, Any]]":
    from langgraph.checkpoint.sqlite import SqliteSaver

    from langgraph_memskill.graphs.chat_agent import build_chat_agent

    with SqliteSaver.from_conn_string(str(folder / THREADS_FILE)) as checkpointer:
        yield build_chat_agent(
            memory.model, memory.middleware(background=background), checkpointer=checkpointer
        )


def is_terminal() -> bool:
    """Whether a person types at the other end of standard input."""
    return sys.stdin.isatty()


def _lines() -> Iterator[str]:
    """What the user types, or the lines of a pipe."""
    if not is_terminal():
        for line in typer.get_binary_stream("stdin"):
            yield decoded(line, "stdin")
        return
    with suppress(ImportError):  # importing it gives input() its line editing, but not on Windows
        import_module("readline")
    while True:
        try:
            yield input("\nyou> ")
        except EOFError:
            typer.echo()
            return
        except KeyboardInterrupt:
            typer.echo()
            raise
