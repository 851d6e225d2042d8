"""Checks of `memskill doctor` for what we run on and beside: device, servers, extras, observers.

They change nothing.
"""

import os
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import httpx

from langgraph_memskill.cli.check_results import Check, fail, ok, warn
from langgraph_memskill.cli.observers import OBSERVE_VARIABLE
from langgraph_memskill.cli.screen import counted
from langgraph_memskill.errors import missing_dependency
from langgraph_memskill.memory_places import is_postgres
from langgraph_memskill.workers.cluster import ADDRESS_VARIABLE

_TIMEOUT_S = 10
_EXTRAS = {
    "langgraph-checkpoint-postgres": "postgres",
    "opentelemetry-sdk": "otel",
    "opentelemetry-exporter-otlp-proto-http": "otel",
    "vllm": "vllm",
    "flash-attn": "flash-attn",
    "ray": "ray",
}
"""The optional packages that doctor looks for, and the extra that brings each."""
_TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2")
_KEYS = ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY")
_SET_ENOUGH = {"true", "1"}


def check_device() -> Check:
    """The GPUs that encoder and trainer can use, or why there are none; vLLM goes by the same."""
    import torch

    if not torch.cuda.is_available():
        threads = f"CPU, {counted(torch.get_num_threads(), 'thread')}"
        if torch.version.cuda is None and torch.version.hip is None:
            return ok("device", f"{threads}; torch {torch.__version__} is built without CUDA")
        if shutil.which("nvidia-smi") is None:
            return ok("device", f"{threads}; torch {torch.__version__} finds no GPU")
        advice = "look at nvidia-smi, the driver's version and CUDA_VISIBLE_DEVICES"
        return warn("device", f"{threads}; torch {torch.__version__} finds no CUDA device", advice)
    cards = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    names = ", ".join(f"{card.name} ({card.total_memory / 2**30:.0f} GiB)" for card in cards)
    attention = "flash attention" if _version("flash-attn") else "PyTorch's attention"
    found = f"{names}; torch {torch.__version__}, CUDA {torch.version.cuda}; the encoder runs in "
    found += f"bfloat16 with {attention}"
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        slow = "this GPU has no bfloat16 of its own: SentenceEncoder(dtype='float16') is faster"
        return warn("device", found, slow)
    return ok("device", found)


def check_extras() -> Check:
    """Which optional packages are installed, in which version."""
    found = []
    for package, extra in _EXTRAS.items():
        installed = _version(package)
        found.append(f"{package} {installed}" if installed else f"no {package} (extra {extra})")
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
    if wanted := environment.get(OBSERVE_VARIABLE):
        found += f"; {OBSERVE_VARIABLE}={wanted}: commands are observed, without texts"
    if is_on and not has_key:
        return warn("observers", found, "set LANGSMITH_API_KEY, or unset LANGSMITH_TRACING")
    return ok("observers", found)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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
