"""Checks of `memskill doctor` for what runs beside us: servers, extras, observers.

They change nothing.
"""

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import httpx

from langgraph_memskill.cli.check_results import Check, fail, ok, warn
from langgraph_memskill.cli.screen import counted
from langgraph_memskill.errors import missing_dependency
from langgraph_memskill.memory_places import is_postgres
from langgraph_memskill.workers.cluster import ADDRESS_VARIABLE

_TIMEOUT_S = 10
_EXTRAS = {
    "langgraph-checkpoint-postgres": "postgres",
    "opentelemetry-sdk": "otel",
    "vllm": "vllm",
    "flash-attn": "flash-attn",
    "ray": "ray",
}
"""The optional packages that doctor looks for, and the extra that brings each."""
_TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2")
_KEYS = ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY")
_SET_ENOUGH = {"true", "1"}


def check_extras() -> Check:
    """Which optional packages are installed, in which version."""
    found = []
    for package, extra in _EXTRAS.items():
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package} (extra {extra})")
    if address := os.environ.get(ADDRESS_VARIABLE):
        found.append(f"{ADDRESS_VARIABLE}={address}")
    return ok("extras", ", ".join(found))


def check_observers(environment: Mapping[str, str] = os.environ) -> Check:
    """What LangSmith and OpenTelemetry are told by the environment; no key is shown."""
    is_on = any(environment.get(name, "").lower() in _SET_ENOUGH for name in _TRACING)
    has_key = any(environment.get(name) for name in _KEYS)
    key = "a key is set" if has_key else "no key is set"
    exporter = any(name.startswith("OTEL_EXPORTER_") for name in environment)
    found = f"LangSmith tracing {'on' if is_on else 'off'}, {key}; "
    found += f"OpenTelemetry exporter {'set' if exporter else 'not set'} by OTEL_EXPORTER_*"
    if is_on and not has_key:
        return warn("observers", found, "set LANGSMITH_API_KEY, or unset LANGSMITH_TRACING")
    return ok("observers", found)


def check_server(place: str) -> Check:
    """Look whether the server that keeps the memories answers.

    Args:
        place: Its URL, as memory.json has it.

    Raises:
        MissingDependencyError: If its client is not installed.
    """
    return _postgres(place) if is_postgres(place) else _chroma(place)


def _chroma(place: str) -> Check:
    try:
        version = httpx.get(f"{place.rstrip('/')}/api/v2/version", timeout=_TIMEOUT_S).json()
    except (httpx.HTTPError, ValueError) as error:
        advice = "start it: chroma run --path DIR --port PORT"
        return fail("store", f"the Chroma server at {place} does not answer: {error}", advice)
    return ok("store", f"Chroma server {version} at {place}")


def _postgres(place: str) -> Check:
    try:
        import psycopg
    except ImportError as error:
        raise missing_dependency("psycopg", "postgres", "Keeping memories in Postgres") from error
    try:
        with psycopg.connect(place, connect_timeout=_TIMEOUT_S) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), "
                "(SELECT extversion FROM pg_extension WHERE extname = 'vector'), "
                "to_regclass('store') IS NOT NULL"
            ).fetchone()
            assert row is not None
            version, vector, has_tables = row
            users = "SELECT count(DISTINCT prefix) FROM store WHERE prefix LIKE 'memories.%'"
            found = connection.execute(users).fetchone() if has_tables else None
    except psycopg.Error as error:
        advice = "check that it runs, and PGPASSWORD or ~/.pgpass"
        return fail("store", f"Postgres at {place}: {str(error).strip()}", advice)
    if vector is None:
        return fail("store", f"Postgres {version} at {place} has no pgvector", "install it there")
    what = f"Postgres {version} with pgvector {vector} at {place}"
    return ok("store", f"{what}, {counted(found[0] if found else 0, 'user')}")
