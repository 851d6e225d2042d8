"""What can be done with whole memories: export, load, and import from other programs."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ConfigError, DataError, NamespaceError
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.threads import current_thread_id
from langgraph_memskill.transfer.exporting import (
    deleted_ids,
    live_ids,
    memory_namespaces,
    read_entries,
)
from langgraph_memskill.transfer.foreign import Found
from langgraph_memskill.transfer.loading import MemoryLoader, batches
from langgraph_memskill.transfer.mem0 import Record, read_mem0
from langgraph_memskill.transfer.memory_file import (
    FileContents,
    FileEntry,
    MemoryFile,
    write_memory_file,
)
from langgraph_memskill.transfer.reports import (
    ExportReport,
    LoadReport,
    OnConflict,
    OnTransfer,
    checked_conflict_rule,
)
from langgraph_memskill.transfer.store_items import read_store

_SHOWN = 5


class MemoryTransfer(ABC):
    """The part of `StoredMemories` that moves memories in and out.

    The async twins do their work in a thread.
    """

    store: BaseStore
    encoder: TextEncoder
    namespace: NamespaceTemplate
    _writer: MemoryWriter

    def export(
        self,
        path: str | Path,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        deleted: bool = True,
        on_progress: OnTransfer | None = None,
    ) -> ExportReport:
        """Write memories with their provenance and all their versions into a file.

        The file is JSON Lines with checksums, which `load` understands. It is written beside the
        path first and then put in its place; only the present user may read it. Each memory is as
        it was when its turn came.

        Args:
            path: Where; a file that is there is replaced.
            user_id: Whose memories; None (and no scope) takes all users'.
            scope: Values of the namespace's other placeholders.
            deleted: Whether deleted memories go into the file, too.
            on_progress: Called now and then.

        Raises:
            DataError: If the file cannot be written.
            StoreError: If the store cannot be read.
        """
        target = Path(path).expanduser()
        everyone = user_id is None and scope is None and bool(self.namespace.names)
        if everyone:
            places = memory_namespaces(self.store, self.namespace)
        else:
            places = [self.namespace_for(user_id, scope)]
        gone = deleted_ids(self.store) if deleted else {}
        if everyone:
            places += [place for place in gone if self.namespace.matches(place)]
        ids = {
            place: [*live_ids(self._writer, place), *gone.get(place, ())]
            for place in dict.fromkeys(places)
        }
        ids = {place: list(dict.fromkeys(some)) for place, some in ids.items() if some}
        progress = _Progress(sum(map(len, ids.values())), on_progress)
        entries = progress.over(read_entries(self.store, ids, deleted=deleted))
        written = write_memory_file(
            target, entries, encoder=self.encoder.name, dims=self.encoder.dim
        )
        return ExportReport(
            path=target,
            num_memories=written.num_memories,
            num_deleted=written.num_deleted,
            namespaces=tuple(ids),
        )

    async def aexport(self, path: str | Path, **options: Any) -> ExportReport:
        """Like `export`, with the same options, without blocking the event loop."""
        return await asyncio.to_thread(self.export, path, **options)

    def load(
        self,
        path: str | Path,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        from_namespace: Sequence[str] | None = None,
        on_conflict: OnConflict = "skip",
        on_progress: OnTransfer | None = None,
    ) -> LoadReport:
        """Load what `export` wrote; loading it twice changes nothing.

        The whole file is checked first. Memories keep their ids, times, versions and sources; their
        texts are embedded by this memory's own encoder. Every load is a run of the change log with
        the cause "import", which `undo(report.run_id)` takes back.

        Args:
            path: The file.
            user_id: Whose memories they become; None (and no scope): each goes to the namespace
                that the file names.
            scope: Values of the namespace's other placeholders.
            from_namespace: Load only the memories of this namespace of the file. It must be given
                when they are to become somebody else's.
            on_conflict: What to do with an id that is known here with another text (or is deleted
                here, or only there): "skip" keeps what is here and reports it, "replace" takes what
                the file has (its versions from elsewhere are not merged into the history that is
                here), "error" changes nothing.
            on_progress: Called now and then.

        Raises:
            DataError: If the file is damaged, edited, cut off, or of another format, or names
                namespaces that are not this memory's; nothing is changed then.
            ConfigError: If it holds other users' memories and none was named.
            ConflictError: If conflicts are errors and there is one.
        """
        checked_conflict_rule(on_conflict)
        source = None if from_namespace is None else tuple(from_namespace)
        target = None
        if user_id is not None or scope is not None:
            target = self.namespace_for(user_id, scope)
        with MemoryFile(Path(path).expanduser()) as file:
            contents = file.check()
            wanted = self._wanted_places(file.path, contents, target, source)
            loader = MemoryLoader(self._writer, on_conflict, current_thread_id())
            loader.refuse_conflicts(_moved(file, wanted))
            num = sum(contents.namespaces[place] for place in wanted)
            entries = _Progress(num, on_progress).over(_moved(file, wanted))
            for namespace, some in batches(entries):
                loader.load(namespace, some)
        return loader.report()

    async def aload(self, path: str | Path, **options: Any) -> LoadReport:
        """Like `load`, with the same options, without blocking the event loop."""
        return await asyncio.to_thread(self.load, path, **options)

    def import_store(
        self,
        store: BaseStore,
        namespace: Sequence[str],
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        on_conflict: OnConflict = "skip",
    ) -> LoadReport:
        """Import the items of one namespace of any LangGraph store, LangMem's layout included.

        An item's key becomes the memory's id, its times stay, and its whole value is kept with the
        memory's source (`Source.details`). An item that was imported before is not imported again.

        Args:
            store: Where from; it is only read.
            namespace: Their namespace there, exactly: what lies deeper is reported, not taken.
            user_id: Whose memories they become.
            scope: Values of the namespace's other placeholders.
            on_conflict: As in `load`.

        Returns:
            What was done; `skipped` names the items without any text.

        Raises:
            NamespaceError: If a placeholder of the namespace has no value.
            ConflictError: If conflicts are errors and there is one.
            StoreError: If a store cannot be read or written.
        """
        target = self.namespace_for(user_id, scope)
        return self._import(read_store(store, tuple(namespace), target), on_conflict)

    async def aimport_store(
        self, store: BaseStore, namespace: Sequence[str], **options: Any
    ) -> LoadReport:
        """Like `import_store`, with the same options, without blocking the event loop."""
        return await asyncio.to_thread(self.import_store, store, namespace, **options)

    def import_mem0(
        self,
        path: str | Path,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        from_user: str | None = None,
        on_conflict: OnConflict = "skip",
    ) -> LoadReport:
        """Import what mem0's `get_all` gave, saved as JSON.

        Ids, times, metadata and (where the file has it) history are kept. A record that was
        imported before is not imported again.

        Args:
            path: The file.
            user_id: Whose memories they become: those without a `user_id`, and those with this
                one. None: each goes to its own user; one without a user is skipped.
            scope: Values of the namespace's other placeholders; a record's own `agent_id`, `run_id`
                and `app_id` fill those of these names.
            from_user: The `user_id` in the file whose memories are to become this user's.
            on_conflict: As in `load`.

        Returns:
            What was done; `skipped` names every record that could not be used, and why.

        Raises:
            DataError: If the file is no export of mem0's; nothing is changed then.
            ConfigError: If `from_user` is given without a user.
            ConflictError: If conflicts are errors and there is one.
        """
        if from_user is not None and user_id is None:
            raise ConfigError(f"from_user={from_user!r} needs user_id: whose shall they become?")
        owner = None if user_id is None else str(user_id)

        def place(record: Record) -> Namespace:
            name = record.get("user_id")
            name = None if name is None or str(name) == "" else str(name)
            wanted = {from_user} if from_user is not None else {None, owner}
            if owner is not None and name not in wanted:
                raise NamespaceError(
                    f"it is a memory of the user {name!r}, not of {from_user or owner!r}"
                )
            if owner is None and name is None and "user_id" in self.namespace.names:
                raise NamespaceError("it names no user: pass user_id")
            known = {k: record[k] for k in ("agent_id", "run_id", "app_id") if record.get(k)}
            return self.namespace_for(owner or name, {**known, **(scope or {})})

        return self._import(read_mem0(Path(path).expanduser(), place), on_conflict)

    async def aimport_mem0(self, path: str | Path, **options: Any) -> LoadReport:
        """Like `import_mem0`, with the same options, without blocking the event loop."""
        return await asyncio.to_thread(self.import_mem0, path, **options)

    @abstractmethod
    def namespace_for(
        self, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> Namespace:
        """The namespace of a user's memories."""

    def _import(self, found: Found, on_conflict: OnConflict) -> LoadReport:
        loader = MemoryLoader(self._writer, on_conflict, current_thread_id())
        loader.refuse_conflicts(found.entries)
        for namespace, some in batches(found.entries):
            loader.load(namespace, some)
        return loader.report(found.skipped)

    def _wanted_places(
        self,
        path: Path,
        contents: FileContents,
        target: Namespace | None,
        source: Namespace | None,
    ) -> dict[Namespace, Namespace]:
        """Which namespaces of the file to load, each with the one that it becomes."""
        there = contents.namespaces
        if source is not None and source not in there:
            raise ConfigError(f"{path} holds no memories of {source!r}; it has {_names(there)}")
        sources = list(there) if source is None else [source]
        if target is None:
            for place in sources:
                if not self.namespace.matches(place):
                    raise DataError(
                        f"{path} holds memories of {place!r}, which is no namespace of "
                        f"{self.namespace.labels!r}: name whose they shall become (user_id), and "
                        "from_namespace. Nothing was loaded"
                    )
            return {place: place for place in sources}
        others = [place for place in sources if place != target]
        if others and source is None:
            raise ConfigError(
                f"{path} holds memories of {_names(others)}, not only of {target!r}: name one of "
                "them with from_namespace to make them this user's, or name no user to give each "
                "his own. Nothing was loaded"
            )
        return {place: target for place in sources}


class _Progress:
    """Counts what passes."""

    def __init__(self, total: int, on_progress: OnTransfer | None) -> None:
        self._total = total
        self._on_progress = on_progress

    def over(self, entries: Iterable[FileEntry]) -> Iterator[FileEntry]:
        for done, entry in enumerate(entries, 1):
            yield entry
            if self._on_progress is not None:
                self._on_progress(done, self._total)


def _moved(file: MemoryFile, places: Mapping[Namespace, Namespace]) -> Iterator[FileEntry]:
    for entry in file.entries():
        if (target := places.get(entry.memory.namespace)) is not None:
            yield entry.moved_to(target)


def _names(places: Sequence[Namespace] | Mapping[Namespace, int]) -> str:
    shown = ", ".join(repr(place) for place in list(places)[:_SHOWN])
    return shown if len(places) <= _SHOWN else f"{shown} and {len(places) - _SHOWN} others"
