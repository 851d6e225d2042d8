"""Where the collections live: on a server, with a client that the user gave, or embedded."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any
from urllib.parse import urlsplit

from chromadb.api import ClientAPI, ServerAPI
from chromadb.api.collection_configuration import CreateCollectionConfiguration
from chromadb.api.fastapi import FastAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings, System
from chromadb.errors import NotFoundError

from langgraph_memskill.errors import ConfigError, StoreError
from langgraph_memskill.stores.codec import Clock, Metadata
from langgraph_memskill.stores.guards import ReadWriteLock, translated
from langgraph_memskill.stores.shelf import Shelf

RUST_API = "chromadb.api.rust.RustBindingsAPI"
_HTTP_API = "chromadb.api.fastapi.FastAPI"
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Chroma's own limit on the vector indexes that it keeps: one for five possible open files.
_FILES_AN_INDEX = 5
_NAMES_A_PAGE = 500


def chroma_settings(**values: Any) -> Settings:
    """Chroma settings without telemetry and without a .env file from the working directory."""
    fixed: dict[str, Any] = {
        "_env_file": None,
        "anonymized_telemetry": False,
        "chroma_otel_collection_endpoint": "",
    }
    return Settings(**fixed, **values)


def open_files_limit() -> int:
    """How many files this process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


class Connection:
    """A place for collections; knows which of them exist."""

    exclusive = False
    """Whether nobody else can create collections between two sessions."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.clock = Clock()
        self.epoch = 0
        """Grows when everything remembered about the collections has become doubtful."""
        self.catalogs: dict[str, Any] = {}
        """Catalogs in use, by collection prefix; several stores on one connection share them."""
        self._shelves: dict[str, Shelf | None] = {}

    def session(self, *, write: bool) -> AbstractContextManager[None]:
        """Hold the place for one batch.

        Args:
            write: Whether the batch writes; batches that only read may run side by side.

        Raises:
            StoreError: If the connection is closed or the place cannot be had.
        """
        raise NotImplementedError

    def find(self, name: str) -> Shelf | None:
        """Return a collection, or None if it does not exist."""
        known = self._shelves.get(name)
        if known is not None or (self.exclusive and name in self._shelves):
            return known
        with translated(self.place, "opening a collection"):
            try:
                collection = self._get(name)
            except NotFoundError:
                collection = None
        shelf = Shelf(self, collection) if collection is not None else None
        self._shelves[name] = shelf
        return shelf

    def create(
        self, name: str, metadata: Metadata, configuration: CreateCollectionConfiguration
    ) -> Shelf:
        """Return a collection, made with this metadata and configuration if it did not exist."""
        known = self._shelves.get(name)
        if known is not None:
            return known
        with translated(self.place, "creating a collection"):
            # A copy, because Chroma's clients add to the configuration that they are given.
            shelf = Shelf(self, self._get_or_create(name, metadata, configuration.copy()))
        self._shelves[name] = shelf
        return shelf

    def drop(self, name: str) -> None:
        """Delete a collection, if it exists."""
        with translated(self.place, "deleting a collection"), suppress(NotFoundError):
            self._delete(name)
        self._shelves.pop(name, None)

    def names(self) -> list[str]:
        """List the names of all collections."""
        found: list[str] = []
        with translated(self.place, "listing collections"):
            while page := self._list(_NAMES_A_PAGE, len(found)):
                found += page
        return found

    def touch(self, collection_id: str) -> None:
        """Prepare for a call on this collection."""

    def forget(self) -> None:
        """Drop everything remembered about which collections exist."""
        self._shelves.clear()
        self.epoch += 1

    def release(self) -> None:
        """Give the connection up; the last user's call closes it."""

    def _get(self, name: str) -> Collection:
        raise NotImplementedError

    def _get_or_create(
        self, name: str, metadata: Metadata, configuration: CreateCollectionConfiguration
    ) -> Collection:
        raise NotImplementedError

    def _delete(self, name: str) -> None:
        raise NotImplementedError

    def _list(self, num_names: int, offset: int) -> list[str]:
        raise NotImplementedError


class ApiConnection(Connection):
    """A connection over Chroma's server interface, embedded or HTTP."""

    def __init__(self, place: str, api: ServerAPI, tenant: str, database: str) -> None:
        super().__init__(place)
        self._api = api
        self._tenant = tenant
        self._database = database

    def _get(self, name: str) -> Collection:
        model = self._api.get_collection(name, tenant=self._tenant, database=self._database)
        return Collection(client=self._api, model=model, embedding_function=None)

    def _get_or_create(
        self, name: str, metadata: Metadata, configuration: CreateCollectionConfiguration
    ) -> Collection:
        model = self._api.get_or_create_collection(
            name,
            configuration=configuration,
            metadata=dict(metadata),
            tenant=self._tenant,
            database=self._database,
        )
        return Collection(client=self._api, model=model, embedding_function=None)

    def _delete(self, name: str) -> None:
        self._api.delete_collection(name, tenant=self._tenant, database=self._database)

    def _list(self, num_names: int, offset: int) -> list[str]:
        found = self._api.list_collections(
            num_names, offset, tenant=self._tenant, database=self._database
        )
        return [model.name for model in found]


class _HttpApi(FastAPI):
    """Chroma's HTTP client with a time limit: its own waits for ever."""

    def __init__(self, system: System, timeout_s: float) -> None:
        super().__init__(system)
        self._session.timeout = timeout_s

    def close(self) -> None:
        """Close the HTTP connections."""
        self._session.close()


class ServerConnection(ApiConnection):
    """A Chroma server, by URL; other processes may use it at the same time."""

    _api: _HttpApi

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        tenant: str | None = None,
        database: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        """Connect.

        Raises:
            ConfigError: If the URL has more than scheme, host and port.
            StoreError: If the server does not answer, or has no such tenant or database.
        """
        parts = urlsplit(url)
        if parts.path.strip("/") or parts.query or parts.username or not parts.hostname:
            raise ConfigError(
                f"{url!r} is no address of a Chroma server: write http://HOST:PORT, and pass "
                "secrets as headers={...}"
            )
        place = f"the Chroma server at {url}"
        settings = chroma_settings(
            chroma_api_impl=_HTTP_API,
            chroma_server_host=parts.hostname,
            chroma_server_http_port=parts.port or _DEFAULT_PORTS[parts.scheme],
            chroma_server_ssl_enabled=parts.scheme == "https",
            chroma_server_headers=dict(headers or {}),
        )
        with translated(place, "connecting"):
            api = _HttpApi(System(settings), timeout_s)
            super().__init__(place, api, tenant or DEFAULT_TENANT, database or DEFAULT_DATABASE)
            try:
                api.heartbeat()
                api.get_database(self._database, tenant=self._tenant)
            except Exception:
                api.close()
                raise
        self._lock = ReadWriteLock()
        self._is_closed = False

    def session(self, *, write: bool) -> AbstractContextManager[None]:
        """Hold the place for one batch."""
        if self._is_closed:
            raise StoreError(f"the store on {self.place} is closed: open it again")
        return self._lock.write() if write else self._lock.read()

    def release(self) -> None:
        """Close the HTTP connections once the running batches are done."""
        with self._lock.write():
            if not self._is_closed:
                self._is_closed = True
                self._api.close()


class ClientConnection(Connection):
    """A Chroma client that the user made and keeps."""

    def __init__(self, client: ClientAPI) -> None:
        """Take the client.

        Raises:
            ConfigError: If it is no synchronous Chroma client.
        """
        if not isinstance(client, ClientAPI):
            raise ConfigError(
                f"client is a {type(client).__name__}: give a synchronous Chroma client, such as "
                "chromadb.PersistentClient(...) or chromadb.HttpClient(...)"
            )
        super().__init__("the given Chroma client")
        self._client = client
        self._lock = ReadWriteLock()
        self._is_closed = False
        is_embedded = client.get_settings().chroma_api_impl == RUST_API
        self._max_collections = open_files_limit() // _FILES_AN_INDEX if is_embedded else None

    def session(self, *, write: bool) -> AbstractContextManager[None]:
        """Hold the place for one batch."""
        if self._is_closed:
            raise StoreError(f"the store on {self.place} is closed: open it again")
        return self._lock.write() if write else self._lock.read()

    def release(self) -> None:
        """Stop using the client, which stays open for its owner."""
        self._is_closed = True

    def _get(self, name: str) -> Collection:
        return self._client.get_collection(name, embedding_function=None)

    def _get_or_create(
        self, name: str, metadata: Metadata, configuration: CreateCollectionConfiguration
    ) -> Collection:
        limit = self._max_collections
        if limit is not None and self._client.count_collections() >= limit:
            # Beyond this Chroma 1.5.9 drops vector indexes and answers from stale ones.
            raise StoreError(
                f"{self.place} is embedded and keeps only {limit} collections searchable (a fifth "
                "of the limit of open files): raise `ulimit -n`, give ChromaStore a folder "
                "instead of a client, or use a Chroma server"
            )
        return self._client.get_or_create_collection(
            name,
            configuration=configuration,
            metadata=dict(metadata),
            embedding_function=None,
        )

    def _delete(self, name: str) -> None:
        self._client.delete_collection(name)

    def _list(self, num_names: int, offset: int) -> list[str]:
        return [collection.name for collection in self._client.list_collections(num_names, offset)]
