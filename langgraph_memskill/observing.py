"""What is seen of a memory at work: OpenTelemetry spans and metrics, LangSmith without payloads.

Both are LangChain callbacks, given to `memory.observe(...)` or, for everything in a block of code,
to `observed_runs.observed(...)`; without them nothing here is loaded.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers import LangChainTracer
from langgraph.errors import GraphBubbleUp
from langsmith import Client

from langgraph_memskill.errors import missing_dependency

_NAME = "langgraph_memskill"
ROOTS = {
    "construction": "memskill.remember",
    "answering": "memskill.answer",
    "memskill_recall": "memskill.recall",
    "evolution": "memskill.evolve",
    "memskill_train": "memskill.train",
    "memskill_rollout": "memskill.rollout",
    "memskill_update": "memskill.update",
}
"""The span of each of our operations, by the name of its run."""
_SKILLS_NODE = "extract"


class OpenTelemetryCallback(BaseCallbackHandler):
    """Spans and metrics of what a memory or a training run does, its steps and its model calls.

    Spans: `memskill.remember`, `memskill.recall`, `memskill.answer`, `memskill.evolve`; for
    training `memskill.train` with `memskill.rollout` (the episodes of an update) and
    `memskill.update`; one a graph node (`memskill.retrieve`, `memskill.extract` ...);
    `memskill.model` a model call. They hold names, times, token counts and the kinds of errors,
    never a text of a conversation, memory or prompt.

    Metrics: `memskill.calls`, `memskill.duration` (seconds, by operation), `memskill.tokens` (by
    direction), `memskill.failed_spans` and `memskill.retries` (attempts to read a span that are
    made again). Without a provider of yours OpenTelemetry throws all of it away.
    """

    run_inline = True
    """In order, and in the thread of what is observed."""

    def __init__(self, *, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        """Report to OpenTelemetry.

        Args:
            tracer_provider: An opentelemetry TracerProvider; None takes the global one.
            meter_provider: An opentelemetry MeterProvider; None takes the global one.

        Raises:
            MissingDependencyError: If opentelemetry-api is not installed.
        """
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise missing_dependency("opentelemetry", "otel", "OpenTelemetry") from error
        self._trace = trace
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._calls = meter.create_counter("memskill.calls", "{call}", "operations and model calls")
        self._seconds = meter.create_histogram("memskill.duration", "s", "how long they took")
        self._tokens = meter.create_counter("memskill.tokens", "{token}", "of model calls")
        self._failed = meter.create_counter("memskill.failed_spans", "{span}", "kept for a retry")
        self._retries = meter.create_counter("memskill.retries", "{call}", "attempts made again")
        self._lock = threading.Lock()
        self._open: dict[UUID, tuple[Any, str | None, float]] = {}
        """Span, name (None: the span is the parent's, for a run that is no step) and start."""

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the span of an operation or a node."""
        name = str(kwargs.get("name") or "")
        operation = ROOTS.get(name)
        if operation is None and (metadata or {}).get("langgraph_node") == name:
            operation = f"memskill.{name}"
        self._begin(run_id, parent_run_id, operation)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End it."""
        name = self._end(run_id)
        if name == ROOTS["construction"] and isinstance(outputs, Mapping):
            self._failed.add(len(outputs.get("failed") or ()))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End it with an error."""
        if self._end(run_id, error) == f"memskill.{_SKILLS_NODE}":
            self._retries.add(1)  # the node raises only if it will be run again

    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin the span of a model call."""
        self._begin(run_id, parent_run_id, "memskill.model")

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Count its tokens and end it."""
        with self._lock:
            span, _, _ = self._open.get(run_id, (None, None, 0.0))
        for row in response.generations:
            for generation in row:
                message = generation.message if isinstance(generation, ChatGeneration) else None
                usage = message.usage_metadata if isinstance(message, AIMessage) else None
                if usage is None or span is None:
                    continue
                for direction in ("input", "output"):
                    number = int(usage[f"{direction}_tokens"])  # type: ignore[literal-required]  # both are keys of it
                    span.set_attribute(f"gen_ai.usage.{direction}_tokens", number)
                    self._tokens.add(number, {"direction": direction})
        self._end(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End it with an error."""
        self._end(run_id, error)

    def _begin(self, run_id: UUID, parent_run_id: UUID | None, name: str | None) -> None:
        with self._lock:
            parent = self._open.get(parent_run_id) if parent_run_id is not None else None
        outer = None if parent is None else parent[0]
        if name is None:
            span = outer
        else:
            context = None if outer is None else self._trace.set_span_in_context(outer)
            span = self._tracer.start_span(name, context=context)
        with self._lock:
            self._open[run_id] = (span, name, time.perf_counter())

    def _end(self, run_id: UUID, error: BaseException | None = None) -> str | None:
        with self._lock:
            span, name, started = self._open.pop(run_id, (None, None, 0.0))
        if isinstance(error, GraphBubbleUp):
            error = None  # a graph that waits for a person
        if name is None or span is None:
            return None
        if error is not None:
            # Not the message: it may repeat a prompt.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()
        labels = {"operation": name, "outcome": "ok" if error is None else "error"}
        self._calls.add(1, labels)
        self._seconds.record(time.perf_counter() - started, labels)
        return name


def redacted_tracer(client: Client | None = None, project: str | None = None) -> LangChainTracer:
    """A LangSmith tracer that sends names, times and errors' kinds, but no inputs and outputs.

    In `memory.observe(...)`, or among a run's callbacks, it takes the place of the tracer that
    LANGSMITH_TRACING switches on.

    Args:
        client: A LangSmith client; what it sends is redacted in any case. None makes one from the
            environment.
        project: LangSmith's project; None takes the environment's.
    """
    return _RedactedTracer(project_name=project, client=client or Client())


class _RedactedTracer(LangChainTracer):
    """Takes the payloads out of every run before the client sees it."""

    @staticmethod
    def _get_stacktrace(error: BaseException) -> str:
        return type(error).__name__  # not the message: it may repeat a prompt

    def _persist_run_single(self, run: Any) -> None:
        super()._persist_run_single(_without_payloads(run))

    @staticmethod
    def _update_run_single(run: Any) -> None:
        LangChainTracer._update_run_single(_without_payloads(run))


def _without_payloads(run: Any) -> Any:
    # Anything but the name of a class may hold a text.
    error = run.error if run.error is None or str(run.error).isidentifier() else "error"
    nothing: dict[str, Any] = {"inputs": {}, "outputs": {}, "events": [], "serialized": None}
    return run.model_copy(update={**nothing, "error": error})
