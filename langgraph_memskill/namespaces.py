"""Namespaces: the wall between users. Templates are resolved here and labels made safe here."""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from langgraph.config import get_config
from langgraph.runtime import Runtime, get_runtime

from langgraph_memskill.errors import NamespaceError

Namespace = tuple[str, ...]

INTERNAL_LABEL = "memskill"
"""First label of what we keep beside the memories (pending spans, tombstones, feedback)."""

_RESERVED_FIRST_LABELS = ("langgraph", INTERNAL_LABEL)


def encode_label(value: object) -> str:
    """Turn an id into a namespace label, one to one.

    Letters, digits, "_", "-", "~", "@" and "+" stay; everything else, the dots and asterisks that
    LangGraph's stores refuse or give a meaning to included, is percent-encoded as UTF-8.

    Args:
        value: A non-empty string, an integer, or anything whose `str()` identifies it (a UUID).

    Returns:
        The label.

    Raises:
        NamespaceError: If the value is None, a bool or blank.
    """
    if value is None or isinstance(value, bool) or not str(value).strip():
        raise NamespaceError(
            f"{value!r} cannot be part of a memory namespace: give a non-empty string or a number"
        )
    text = quote(str(value), safe="@+", errors="surrogatepass")
    return text.replace(".", "%2E")


class NamespaceTemplate:
    """A namespace with placeholders, such as `("memories", "{user_id}")`."""

    def __init__(self, labels: Sequence[str]) -> None:
        """Check the template.

        Args:
            labels: Literal labels and labels with `{name}` placeholders.

        Raises:
            NamespaceError: If there is no label, a label is not text, a placeholder is malformed,
                or the first label is reserved.
        """
        if isinstance(labels, str) or not labels:
            raise NamespaceError(f"namespace={labels!r} must be a tuple of labels")
        self.labels = tuple(labels)
        self.names = frozenset(name for label in self.labels for name in _placeholders(label))
        if self.labels[0] in _RESERVED_FIRST_LABELS:
            raise NamespaceError(f"the first label {self.labels[0]!r} of a namespace is reserved")

    @property
    def literal_prefix(self) -> Namespace:
        """The labels before the first placeholder."""
        prefix: list[str] = []
        for label in self.labels:
            if _placeholders(label):
                break
            prefix.append(label)
        return tuple(prefix)

    def matches(self, namespace: Namespace) -> bool:
        """Whether a namespace is one that this template can resolve to."""
        if len(namespace) != len(self.labels) or namespace[0] in _RESERVED_FIRST_LABELS:
            return False
        return all(
            re.fullmatch(_pattern(label), given, re.DOTALL)
            for label, given in zip(self.labels, namespace, strict=True)
        )

    def resolve(
        self,
        *,
        user_id: object = None,
        scope: Mapping[str, object] | None = None,
        runtime: Runtime[Any] | None = None,
    ) -> Namespace:
        """Fill the placeholders.

        A value is looked for in this order: the arguments, the runtime context, the LangGraph
        server's authenticated user (for `user_id`), the run's `configurable`.

        Args:
            user_id: Value of `{user_id}`.
            scope: Values of other placeholders.
            runtime: The running graph's runtime, if any.

        Returns:
            The namespace, every label encoded by `encode_label` where a value went in.

        Raises:
            NamespaceError: If a placeholder has no value; the message names it.
        """
        known = dict(scope or {})
        if user_id is not None:
            known["user_id"] = user_id
        values = {name: encode_label(self._value(name, known, runtime)) for name in self.names}
        namespace = tuple(label.format_map(values) for label in self.labels)
        if namespace[0] in _RESERVED_FIRST_LABELS:
            # A user may well be called "langgraph"; escape one letter instead of refusing him.
            namespace = (f"%{ord(namespace[0][0]):02X}{namespace[0][1:]}", *namespace[1:])
        return namespace

    def _value(
        self, name: str, known: Mapping[str, object], runtime: Runtime[Any] | None
    ) -> object:
        candidates = (known.get(name), _from_runtime(name, runtime), _from_config(name))
        for value in candidates:
            if value is not None:
                return value
        raise NamespaceError(
            f"the memory namespace {self.labels!r} needs a value for {name!r}: pass {name}=..., "
            f"or put it into the runtime context or into config['configurable']"
        )


def internal_namespace(kind: str) -> Namespace:
    """The namespace for one kind of record that we keep beside all memories."""
    return (INTERNAL_LABEL, kind)


def _placeholders(label: str) -> list[str]:
    if not isinstance(label, str) or not label or "." in label or "\0" in label:
        raise NamespaceError(f"namespace label {label!r} must be non-empty text without dots")
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(label) if name is not None]
    except ValueError as error:
        raise NamespaceError(f"namespace label {label!r} is malformed: {error}") from error
    for name in names:
        if not name.isidentifier():
            raise NamespaceError(f"namespace label {label!r} has an unusable placeholder {name!r}")
    return names


def _pattern(label: str) -> str:
    parts = string.Formatter().parse(label)
    return "".join(re.escape(text) + (".+" if name else "") for text, name, _, _ in parts)


def _from_runtime(name: str, runtime: Runtime[Any] | None) -> object:
    if runtime is None:
        return None
    context = runtime.context
    # A context is the application's own class (dataclass, pydantic model) or a mapping.
    value = context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
    if value is None and name == "user_id" and runtime.server_info and runtime.server_info.user:
        return runtime.server_info.user.identity
    return value


def _from_config(name: str) -> object:
    try:
        config = get_config()
    except RuntimeError:
        return None  # called outside of a graph run
    return config.get("configurable", {}).get(name)


def current_runtime() -> Runtime[Any] | None:
    """The runtime of the graph run that this code is called from, if there is one."""
    try:
        return get_runtime()
    except (RuntimeError, KeyError):  # no run at all, or a Runnable that is not a graph's
        return None
