"""Which endpoint of a key pool takes the next call, and which ones rest; no model call in here."""

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from langgraph_memskill.errors import ModelCallError

logger = logging.getLogger(__name__)

_OUT_STATUS = frozenset({401, 402, 403})
"""HTTP statuses that say that the key itself is no good."""
_REST_STATUS = frozenset({408, 425, 429})
# The SDKs (OpenAI, Anthropic, httpx ...) share no base class, but they share these names.
_CONNECTION_ERRORS = frozenset({"APIConnectionError", "TransportError", "TimeoutException"})
_SHORTEST_REST_S = 0.25
_MASKED_LENGTH = 4


class Fault(NamedTuple):
    """Why an endpoint cannot be used for a while."""

    reason: str
    """Short and without secrets: "HTTP 429", "APITimeoutError"."""
    rest_s: float | None
    """Seconds to rest; None takes the endpoint out for good."""


class EndpointStatus(NamedTuple):
    """How an endpoint is doing."""

    label: str
    """Masked key and host."""
    calls: int
    """Tries that it was given so far."""
    in_flight: int
    resting_s: float
    """Seconds that it still rests; 0 if it does not."""
    is_out: bool
    """True if it was taken out for good."""
    reason: str
    """The last failure; "" if there was none since the last success."""


@dataclass(slots=True, eq=False)
class Endpoint:
    """One key at one URL, with what the pool knows about it. Guarded by the rota's lock."""

    label: str
    model: BaseChatModel
    calls: int = 0
    in_flight: int = 0
    last_turn: int = 0
    failures: int = 0
    """Failures since the last success."""
    rests_until: float = 0.0
    """On the monotonic clock, in seconds."""
    is_out: bool = False
    reason: str = ""


class EndpointRota:
    """Hands out endpoints: fewest calls in flight first, the longest unused among equals.

    Thread-safe; nothing in it blocks.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Take the endpoints, at least one.

        Args:
            endpoints: In order of preference among equals.
        """
        self._endpoints = tuple(endpoints)
        self._lock = threading.Lock()
        self._turn = 0

    @property
    def first(self) -> BaseChatModel:
        """The first endpoint's model; all are of one class."""
        return self._endpoints[0].model

    def take(self, deadline: float) -> Endpoint | float:
        """Take an endpoint for one try; `release` must follow.

        Args:
            deadline: On the monotonic clock, in seconds: how long the caller would wait.

        Returns:
            An endpoint, or the seconds after which to ask again because all of them rest.

        Raises:
            ModelCallError: If none can be had before the deadline.
        """
        now = time.monotonic()
        with self._lock:
            usable = [endpoint for endpoint in self._endpoints if not endpoint.is_out]
            ready = [endpoint for endpoint in usable if endpoint.rests_until <= now]
            if ready:
                chosen = min(ready, key=lambda endpoint: (endpoint.in_flight, endpoint.last_turn))
                self._turn += 1
                chosen.last_turn = self._turn
                chosen.in_flight += 1
                chosen.calls += 1
                return chosen
            wake = min((endpoint.rests_until for endpoint in usable), default=None)
        if wake is None or wake > deadline:
            raise self.exhausted()
        return wake - now

    def release(self, endpoint: Endpoint) -> None:
        """Give an endpoint back after a try."""
        with self._lock:
            endpoint.in_flight -= 1

    def succeeded(self, endpoint: Endpoint) -> None:
        """Note a try that worked."""
        with self._lock:
            endpoint.failures = 0
            endpoint.reason = ""

    def failed(self, endpoint: Endpoint, fault: Fault) -> None:
        """Note a try that failed through the endpoint's fault; it rests or is out."""
        with self._lock:
            endpoint.failures += 1
            endpoint.reason = fault.reason
            if fault.rest_s is None:
                endpoint.is_out = True
            else:
                # A server that keeps saying "Retry-After: 0" must not be hammered.
                least = _SHORTEST_REST_S * 2 ** min(endpoint.failures - 1, 10)
                rest_s = max(fault.rest_s, least)
                endpoint.rests_until = max(endpoint.rests_until, time.monotonic() + rest_s)
        if fault.rest_s is None:
            logger.error("%s is out for good: %s", endpoint.label, fault.reason)
        else:
            logger.warning("%s rests for %.1f s: %s", endpoint.label, rest_s, fault.reason)

    def status(self) -> tuple[EndpointStatus, ...]:
        """How each endpoint is doing, in the pool's order."""
        now = time.monotonic()
        with self._lock:
            return tuple(
                EndpointStatus(
                    label=endpoint.label,
                    calls=endpoint.calls,
                    in_flight=endpoint.in_flight,
                    resting_s=max(0.0, endpoint.rests_until - now),
                    is_out=endpoint.is_out,
                    reason=endpoint.reason,
                )
                for endpoint in self._endpoints
            )

    def exhausted(self) -> ModelCallError:
        """The error for a call that no endpoint could take, ready to raise."""
        states = [
            f"{status.label}: {status.reason or 'busy'}"
            + (" (out for good)" if status.is_out else f" (rests {status.resting_s:.0f} s more)")
            for status in self.status()
        ]
        if all(status.is_out for status in self.status()):
            advice = "Every key was refused: check the keys and what they are allowed to use."
        else:
            advice = "Wait, add keys or URLs, or raise max_wait_s."
        return ModelCallError(f"no endpoint could answer: {'; '.join(states)}. {advice}")


def fault_of(error: Exception, rest_s: float) -> Fault | None:
    """Tell an endpoint's fault from a bad request.

    Args:
        error: What a try raised; any provider's.
        rest_s: Seconds to rest where the server does not say how long.

    Returns:
        The fault, or None if another endpoint would fail in the same way.
    """
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if isinstance(status, int):
        if status in _OUT_STATUS:
            return Fault(f"HTTP {status}", None)
        if status in _REST_STATUS or status >= 500:
            wanted = _retry_after_s(getattr(response, "headers", None) or {})
            return Fault(f"HTTP {status}", rest_s if wanted is None else wanted)
        return None
    names = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, OSError) or names & _CONNECTION_ERRORS:
        return Fault(type(error).__name__, rest_s)
    return None


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for (a number or an HTTP date)."""
    value = str(headers.get("retry-after", "")).strip()
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def mask_key(key: SecretStr) -> str:
    """Shorten a key so that its owner recognises it and nobody can use it."""
    text = key.get_secret_value().strip()
    return f"…{text[-_MASKED_LENGTH:]}" if len(text) >= 4 * _MASKED_LENGTH else "…"


def public_url(url: str) -> str:
    """Host and path of a URL, without user name, password and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname or '?'}{port}{parts.path}"


def redact(text: str, keys: Sequence[SecretStr]) -> str:
    """Replace every key inside a text by its masked form."""
    for key in keys:
        secret = key.get_secret_value().strip()
        if secret:
            text = text.replace(secret, mask_key(key))
    return text
