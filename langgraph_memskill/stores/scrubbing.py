"""Removes the bytes of deleted items from a store's files."""

import os
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

from langgraph.store.base import BaseStore

from langgraph_memskill.errors import StoreError
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.guards import translated

_DELETED = 3
"""Chroma's code of a deletion in its queue of writes."""
_HEADER = struct.Struct("<iQQQQ")
"""How header.bin of a vector index begins: version, offset, room, elements, bytes of one."""
_HEADER_VERSION = 1
_LENGTH_BYTES = 4


def scrub_store(store: BaseStore) -> None:
    """Remove what deleted items have left in the files of a Chroma folder.

    Chroma keeps the writes of the recent past in a queue, deleted ones included; the database keeps
    freed pages; and the unused room of a new vector index is saved as it came from the heap: texts
    were seen in it (chromadb 1.5.9). Vectors of deleted items may stay in an index. Meanwhile the
    folder is locked; the time grows with the size of the database.
    Other stores (in memory, on a server) are left alone: what they keep is their own affair.

    Raises:
        StoreError: If the files cannot be locked or written.
    """
    if not isinstance(store, ChromaStore):
        return
    # Here, so that importing the package does not load Chroma.
    from langgraph_memskill.stores.embedded import EmbeddedConnection

    connection = store._connection
    if not isinstance(connection, EmbeddedConnection) or connection._folder is None:
        return
    with connection.session(write=True):
        connection._stop()  # the next session starts it again
        with translated(connection.place, "scrubbing"):
            _scrub_database(connection._folder / "chroma.sqlite3")
            for header in connection._folder.glob("*/header.bin"):
                _scrub_index(header)


def _scrub_database(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete = ON")
        # A deletion makes every earlier write of the same record void; it stays, for an index that
        # is not written out yet is made from the queue.
        database.execute(
            "DELETE FROM embeddings_queue WHERE EXISTS (SELECT 1 FROM embeddings_queue AS later "
            "WHERE later.topic = embeddings_queue.topic AND later.id = embeddings_queue.id "
            "AND later.seq_id > embeddings_queue.seq_id AND later.operation = ?)",
            (_DELETED,),
        )
        database.execute("VACUUM")


def _scrub_index(header: Path) -> None:
    version, _, _, num_elements, element_bytes = _HEADER.unpack_from(header.read_bytes())
    if version != _HEADER_VERSION:
        raise StoreError(
            f"{str(header)!r} has the unknown version {version}, so its unused room may hold "
            "purged texts: install the chromadb version that this package asks for"
        )
    _blank_from(header.with_name("length.bin"), num_elements * _LENGTH_BYTES)
    _blank_from(header.with_name("data_level0.bin"), num_elements * element_bytes)


def _blank_from(path: Path, start: int) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size > start:
            file.seek(start)
            file.write(bytes(size - start))
            file.flush()
            os.fsync(file.fileno())
