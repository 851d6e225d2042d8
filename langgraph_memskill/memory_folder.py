"""The folder of one memory: what lies where in it, and how it is made, opened and checked.

The memories themselves may be in a Postgres database or on a Chroma server instead of chroma/.
"""

import json
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, cast

from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, IndexConfig, TTLConfig

from langgraph_memskill.controller.files import load_controller
from langgraph_memskill.controller.selectors import Selector, SimilaritySelector
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import EmbeddingMismatchError, SkillError, StoreError
from langgraph_memskill.memory_places import (
    ClosableStore,
    check_place,
    is_postgres,
    public_place,
)
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.versions import VERSIONS_FOLDER, SkillVersions
from langgraph_memskill.state import dump, load
from langgraph_memskill.stores.adoption import adopt_everything
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.items import TEXT_FIELD
from langgraph_memskill.stores.ttl import check_config

FORMAT_VERSION = 2
DEFAULT_PACKS = ("conversation",)

_SETTINGS_FILE = "memory.json"
_CONTROLLER_FILE = "controller.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSettings:
    """What memory.json holds."""

    format_version: int
    encoder: str = ""
    """Name of the embedding model that the folder was made with."""
    dims: int = 0
    ttl_minutes: float | None = None
    """Minutes that a memory lives after its last writing or recall; None is for ever."""
    refreshes_on_recall: bool = True
    sweep_minutes: float | None = None
    """Minutes between two sweeps of what has expired; None takes the default."""
    store: str | None = None
    """Where the memories are, as a URL without password; None is chroma/ of the folder."""

    @property
    def ttl(self) -> TTLConfig | None:
        """The times to live as LangGraph's stores take them; None if memories live for ever."""
        if self.ttl_minutes is None:
            return None
        return TTLConfig(
            default_ttl=self.ttl_minutes,
            refresh_on_read=self.refreshes_on_recall,
            # LangGraph's type says int, but any number of minutes will do.
            sweep_interval_minutes=cast("int | None", self.sweep_minutes),
        )


class OpenMemories(NamedTuple):
    """What is open of a memory folder."""

    store: BaseStore
    log: ChangeLog


@dataclass(frozen=True, slots=True)
class MemoryFolder:
    """Paths inside a memory folder."""

    root: Path
    store: str | None = field(default=None, repr=False)
    """URL of the Postgres database or Chroma server with the memories; it may hold a password.
    None takes what memory.json says."""

    @property
    def chroma(self) -> Path:
        """The Chroma database with memories, tombstones, pending spans and feedback."""
        return self.root / "chroma"

    @property
    def changes(self) -> Path:
        """The log of all changes."""
        return self.root / "changes.db"

    @property
    def skills(self) -> Path:
        """The skill bank, one folder with a SKILL.md for each skill."""
        return self.root / "skills"

    @property
    def skill_versions(self) -> SkillVersions:
        """Every version that the skill bank has had."""
        return SkillVersions(self.root / VERSIONS_FOLDER, self.skills)

    @property
    def controller(self) -> Path:
        """The trained controller, if there is one."""
        return self.root / "controller"

    @property
    def traces(self) -> Path:
        """The recorded traces, if runs were recorded."""
        return self.root / "traces"

    @property
    def evolution(self) -> Path:
        """The hard cases, and evolutions of the skills that are not at their end."""
        return self.root / "evolution"

    @property
    def settings(self) -> Path:
        """Format version and embedding model of the folder."""
        return self.root / _SETTINGS_FILE

    def prepare(self, encoder: TextEncoder, ttl: TTLConfig | None = None) -> None:
        """Create the folder, or check that it fits the encoder.

        Args:
            encoder: The embedding model to open it with.
            ttl: How long memories live, noted for everybody who opens the folder from now on;
                {"default_ttl": None} is for ever. None leaves it as it is.

        Raises:
            ConfigError: If a time to live is unusable; nothing is changed.
            StoreError: If it cannot be created or read, or a newer version of this package made it.
            EmbeddingMismatchError: If it was made with another embedding model; nothing is changed.
                A folder whose memories are elsewhere than in `store` is a StoreError.
        """
        lifetimes = check_config(ttl)
        if self.store is not None:
            check_place(self.store)
        try:
            exists = self.settings.exists()
            if not exists:
                self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        if exists:
            found = self.read_settings()
            self._check(found, encoder)
        else:
            found = FolderSettings(
                format_version=FORMAT_VERSION,
                encoder=encoder.name,
                dims=encoder.dim,
                store=None if self.store is None else public_place(self.store),
            )
        wanted = found if lifetimes is None else _with_lifetimes(found, lifetimes)
        if not exists or wanted != found:
            self.write_settings(wanted)

    def read_settings(self) -> FolderSettings:
        """Read memory.json.

        Raises:
            StoreError: If it is not there or damaged, or a newer version of this package wrote it.
        """
        try:
            found = load(FolderSettings, json.loads(self.settings.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise self._unusable(error) from error
        if found.format_version > FORMAT_VERSION:
            raise StoreError(
                f"the memory folder has format version {found.format_version}; this package reads "
                f"up to {FORMAT_VERSION}: upgrade langgraph-memskill"
            )
        return found

    def write_settings(self, settings: FolderSettings) -> None:
        """Write memory.json; whoever reads it sees the former or the new one.

        Raises:
            StoreError: If it cannot be written.
        """
        draft = _draft_of(self.settings)
        try:
            draft.write_text(json.dumps(dump(settings), indent=2) + "\n", encoding="utf-8")
            os.replace(draft, self.settings)
        except OSError as error:
            raise self._unusable(error) from error

    def load_bank(self) -> SkillBank:
        """Load the folder's skills; a new folder gets the seeds and the conversation pack.

        What a person edited in the SKILL.md files becomes a version of the bank.

        Raises:
            SkillError: If a SKILL.md is broken; the message says which file and field.
        """
        versions = self.skill_versions
        is_there = self.skills.is_dir() and any(self.skills.iterdir())
        if not is_there and not versions.switches():
            self._make_skills()
        return versions.load()

    def _make_skills(self) -> None:
        """Put the first skills in their place, all at once: other processes may open the folder."""
        draft = _draft_of(self.skills)
        SkillBank.seed(*DEFAULT_PACKS).save(draft)
        try:
            with suppress(OSError):
                self.skills.rmdir()  # it may be there, empty
            draft.rename(self.skills)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if not (self.skills.is_dir() and any(self.skills.iterdir())):
                raise SkillError(f"{self.skills} cannot be made: {error}") from error
            # Another process was quicker.

    def load_selector(self, encoder: TextEncoder, *, explore: bool = False) -> Selector:
        """Load the folder's controller; without one, skills are chosen by similarity.

        Args:
            encoder: Of the folder.
            explore: Whether the controller draws its skills instead of taking the best.

        Raises:
            CheckpointError: If the controller's files are damaged or do not fit the encoder.
        """
        if (self.controller / _CONTROLLER_FILE).exists():
            return load_controller(self.controller, encoder=encoder, explore=explore)
        return SimilaritySelector(encoder)

    def open_store(self, encoder: TextEncoder) -> BaseStore:
        """Open the store with the memories; whoever opens it closes it.

        Raises:
            StoreError: If it cannot be opened.
            MissingDependencyError: If it is in Postgres and the extra `postgres` is not installed.
        """
        found = self.read_settings() if self.settings.is_file() else None
        ttl = found.ttl if found else None
        place = self.store or (found.store if found else None)
        if place is not None and is_postgres(place):
            from langgraph_memskill.stores.postgres import open_postgres

            store: BaseStore = open_postgres(place, store_index(encoder), encoder, ttl)
            return store
        return self._chroma(self.chroma if place is None else place, encoder, ttl)

    def open_chroma(self, encoder: TextEncoder) -> ChromaStore:
        """Open the database in chroma/, wherever memory.json says that the memories are.

        Raises:
            StoreError: If it cannot be opened.
        """
        ttl = self.read_settings().ttl if self.settings.is_file() else None
        return self._chroma(self.chroma, encoder, ttl)

    @staticmethod
    def _chroma(location: Path | str, encoder: TextEncoder, ttl: TTLConfig | None) -> ChromaStore:
        return ChromaStore(
            location, index=store_index(encoder), embedding_name=encoder.name, ttl=ttl
        )

    def open_log(self, *, read_only: bool = False) -> ChangeLog:
        """Open the change log.

        Raises:
            ChangeLogError: If it cannot be opened; one that is only read must exist.
        """
        return ChangeLog(self.changes, read_only=read_only)

    def open_memories(self, encoder: TextEncoder) -> OpenMemories:
        """Open store and log of a prepared folder, in the present format.

        Raises:
            StoreError: If one of them cannot be opened.
        """
        store = self.open_store(encoder)
        try:
            log = self.open_log()
            try:
                self.migrate(store, log)
            except BaseException:
                log.close()
                raise
        except BaseException:
            if isinstance(store, ClosableStore):
                store.close()
            raise
        return OpenMemories(store, log)

    def migrate(self, store: BaseStore, log: ChangeLog) -> None:
        """Bring the folder to the present format; quick if it has it.

        Format 2 brought the change log: a log without them gets the memories that are there, told
        with their own histories. Breaking off does no harm; the next opening goes on.

        Raises:
            StoreError: If store, log or memory.json cannot be read or written.
        """
        adopt_everything(store, log)
        found = self.read_settings()
        if found.format_version < FORMAT_VERSION:
            self.write_settings(replace(found, format_version=FORMAT_VERSION))

    def _check(self, found: FolderSettings, encoder: TextEncoder) -> None:
        if self.store is not None and public_place(self.store) != found.store:
            raise StoreError(
                f"the memories of the folder {str(self.root)!r} are in "
                f"{found.store or self.chroma.name + '/'}, not in {public_place(self.store)}: open "
                "it without a store, or take them there (memskill memories export, then import "
                "into a new folder)"
            )
        if (found.encoder, found.dims) != (encoder.name, encoder.dim):
            raise EmbeddingMismatchError(
                f"the memory folder was made with the embedding model {found.encoder!r} "
                f"({found.dims} dimensions), not with {encoder.name!r} ({encoder.dim}): open it "
                f"with encoder={found.encoder!r}, use another folder, or embed its memories anew: "
                "memskill memories reembed --encoder NAME"
            )

    def _unusable(self, error: Exception) -> StoreError:
        return StoreError(
            f"the memory folder {str(self.root)!r} cannot be used: {error}. Give a folder that you "
            f"may write to, or restore its {_SETTINGS_FILE}"
        )


def _with_lifetimes(found: FolderSettings, ttl: TTLConfig) -> FolderSettings:
    return replace(
        found,
        ttl_minutes=ttl.get("default_ttl"),
        refreshes_on_recall=ttl.get("refresh_on_read", True),
        sweep_minutes=ttl.get("sweep_interval_minutes"),
    )


def _draft_of(path: Path) -> Path:
    """Name a file or folder beside `path` that no other process uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")


def store_index(encoder: TextEncoder) -> IndexConfig:
    """The index configuration of a LangGraph store that ranks by this encoder."""
    return {"dims": encoder.dim, "embed": cast(Embeddings, encoder), "fields": [TEXT_FIELD]}
