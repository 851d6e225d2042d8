"""OpenTelemetry with exporters in memory."""

from typing import Any

from langgraph_memskill.observing import OpenTelemetryCallback


class Telescope:
    """A callback with exporters in memory."""

    def __init__(self) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        meters = MeterProvider(metric_readers=[self._reader])
        self.tracers, self.meters = tracers, meters
        self.callback = OpenTelemetryCallback(tracer_provider=tracers, meter_provider=meters)

    def spans(self) -> dict[str, Any]:
        """The last span of each name."""
        return {span.name: span for span in self.all_spans()}

    def all_spans(self) -> list[Any]:
        """In the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def total(self, name: str) -> int:
        return sum(point.value for point in self.points(name))
