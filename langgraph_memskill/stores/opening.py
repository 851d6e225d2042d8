"""From the arguments that say where a store is to a connection."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from langgraph_memskill.stores.connection import Connection

DEFAULT_PREFIX = "memskill"
_URL_SCHEMES = ("http://", "https://")


def connect(
    location: str | Path | None = None,
    *,
    client: "ClientAPI | None" = None,
    headers: Mapping[str, str] | None = None,
    tenant: str | None = None,
    database: str | None = None,
    timeout_s: float = 60.0,
) -> "Connection":
    """Open the place of a store; the arguments are those of ChromaStore.

    Raises:
        ConfigError: If the arguments contradict each other.
        StoreError: If the place cannot be opened.
    """
    url = location if isinstance(location, str) and location.startswith(_URL_SCHEMES) else None
    if url is None and (headers or tenant or database):
        raise ConfigError("headers, tenant and database go with the URL of a Chroma server")
    if client is not None and location is not None:
        raise ConfigError(f"both a location ({location!r}) and a client are given: give one")
    if location == "":
        raise ConfigError("location is empty: give a folder, a URL, or None for memory")
    # Here, so that importing the package does not load Chroma.
    from langgraph_memskill.stores.connection import ClientConnection, ServerConnection
    from langgraph_memskill.stores.embedded import EmbeddedConnection

    if client is not None:
        return ClientConnection(client)
    if url is not None:
        return ServerConnection(
            url, headers=headers, tenant=tenant, database=database, timeout_s=timeout_s
        )
    if location is not None:
        return EmbeddedConnection.in_folder(Path(location))
    return EmbeddedConnection()
