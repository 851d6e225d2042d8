"""`memskill --observe`: what a command does, told to OpenTelemetry or LangSmith."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from langgraph_memskill.errors import ConfigError, MissingDependencyError, missing_dependency

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler

OBSERVE_VARIABLE = "MEMSKILL_OBSERVE"
SERVICE = "memskill"

_KEYS = ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY")
_PROTOCOLS = MappingProxyType({"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"})


@contextmanager
def observing(names: str) -> Iterator[None]:
    """Observe everything that runs inside of the block, and send what is left at its end.

    Args:
        names: "otel", "langsmith" or both with a comma.

    Raises:
        ConfigError: If a name is unknown, or LangSmith has no key.
        MissingDependencyError: If a package of OpenTelemetry is not installed.
    """
    from langgraph_memskill.observed_runs import observed

    wanted = list(dict.fromkeys(name.strip().lower() for name in names.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in _OBSERVERS]
    if unknown or not wanted:
        raise ConfigError(
            f"--observe {names!r} (or {OBSERVE_VARIABLE}) must be otel, langsmith, or both with a "
            "comma between them"
        )
    with ExitStack() as ending:
        callbacks = [_OBSERVERS[name](ending) for name in wanted]
        ending.enter_context(observed(*callbacks))
        yield


def _langsmith(ending: ExitStack) -> "BaseCallbackHandler":
    from langsmith import Client

    from langgraph_memskill.observing import redacted_tracer

    if not any(os.environ.get(name) for name in _KEYS):
        raise ConfigError("--observe langsmith needs a key: set LANGSMITH_API_KEY")
    client = Client()
    ending.callback(client.flush)
    return redacted_tracer(client)


def _otel(ending: ExitStack) -> "BaseCallbackHandler":
    try:
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError as error:
        raise missing_dependency("opentelemetry-sdk", "otel", "OpenTelemetry") from error
    from langgraph_memskill.observing import OpenTelemetryCallback

    # Under `opentelemetry-instrument` there are providers already, and they end by themselves.
    if isinstance(trace.get_tracer_provider(), TracerProvider) or isinstance(
        metrics.get_meter_provider(), MeterProvider
    ):
        return OpenTelemetryCallback()
    tracers, meters = _providers(os.environ)
    ending.callback(tracers.shutdown)
    ending.callback(meters.shutdown)
    return OpenTelemetryCallback(tracer_provider=tracers, meter_provider=meters)


def _providers(environment: Mapping[str, str]) -> tuple[Any, Any]:
    """Providers with the exporters that OpenTelemetry's own variables ask for."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create({} if named else {"service.name": SERVICE})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in _exporters("traces", environment):
        tracers.add_span_processor(BatchSpanProcessor(exporter))
    found = _exporters("metrics", environment)
    readers = [
        made if isinstance(made, MetricReader) else PeriodicExportingMetricReader(made)
        for made in found
    ]
    return tracers, MeterProvider(readers, resource=resource, shutdown_on_exit=False)


def _exporters(signal: str, environment: Mapping[str, str]) -> list[Any]:
    """The exporters of a signal: "traces" or "metrics"."""
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    names = [name.strip() for name in environment.get(variable, "otlp").split(",")]
    protocol = environment.get(
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL",
        environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    )
    if protocol not in _PROTOCOLS:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r} must be one of {', '.join(_PROTOCOLS)}"
        )
    made = []
    for name in names:
        if name in {"", "none"}:
            continue
        wanted = _PROTOCOLS[protocol] if name == "otlp" else name
        found = list(entry_points(group=f"opentelemetry_{signal}_exporter", name=wanted))
        if not found:
            package = wanted.replace("_", "-")
            raise MissingDependencyError(
                f"{variable} asks for the exporter {name!r}, which is not installed: pip install "
                f"opentelemetry-exporter-{package}, or set {variable}=none"
            )
        made.append(found[0].load()())
    return made


_OBSERVERS: Mapping[str, Callable[[ExitStack], "BaseCallbackHandler"]] = MappingProxyType(
    {"otel": _otel, "langsmith": _langsmith}
)
