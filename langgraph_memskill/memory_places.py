"""Where a memory folder keeps its memories: in itself, in Postgres or on a Chroma server."""

from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

from langgraph_memskill.errors import ConfigError

_POSTGRES = ("postgresql", "postgres")
_CHROMA = ("http", "https")


@runtime_checkable
class ClosableStore(Protocol):
    """A store with connections or files to give up."""

    def close(self) -> None:
        """Give them up."""
        ...


def check_place(url: str) -> None:
    """Refuse what is no place for memories.

    Raises:
        ConfigError: If the URL is of no known kind, or names no server.
    """
    if not isinstance(url, str) or urlsplit(url).scheme not in (*_POSTGRES, *_CHROMA):
        shown = public_place(url) if isinstance(url, str) and "://" in url else repr(url)
        raise ConfigError(
            f"store={shown} is no place for memories: give the URL of a Postgres database "
            "('postgresql://user@host:5432/database') or of a Chroma server ('http://host:8000')"
        )


def is_postgres(url: str) -> bool:
    """Whether a place is a Postgres database; otherwise it is a Chroma server."""
    return urlsplit(url).scheme in _POSTGRES


def public_place(url: str) -> str:
    """A place's URL without password and parameters, to be shown and kept."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    netloc = f"{name}@{host}" if name else host
    query = "&".join(
        part for part in parts.query.split("&") if part.startswith(("host=", "port=", "dbname="))
    )
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))
