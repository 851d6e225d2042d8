"""Namespaces: the wall between users. Templates are resolved here and labels made safe here."""

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

from langgraph.config import get_config
from langgraph.runtime import BaseUser, Runtime, get_runtime

from langgraph_memskill.errors import NamespaceError

Namespace = tuple[str, ...]

INTERNAL_LABEL = "memskill"
"""First label of what we keep beside the memories (pending spans, tombstones, feedback)."""

_RESERVED_FIRST_LABELS = ("langgraph", INTERNAL_LABEL)


_CHOSEN: ContextVar[Namespace | None] = ContextVar("memskill_namespace", default=None)
"""The namespace that this process's own code runs a graph for."""


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

        A value is looked for in this order: the arguments, the LangGraph server's authenticated
        user (for `user_id`), the runtime context, the run's `configurable`.

        Args:
            user_id: Value of `{user_id}`.
            scope: Values of other placeholders.
            runtime: The running graph's runtime, if any.

        Returns:
            The namespace, every label encoded by `encode_label` where a value went in.

        Raises:
            NamespaceError: If a placeholder has no value; the message names it. If the context
                names another user than the one who is logged in.
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

    def of_run(self, named: Sequence[str] | None, runtime: Runtime[Any]) -> Namespace:
        """The namespace that a graph's state names, or else the template filled in from the run.

        A state can be written by a client of a LangGraph server, so it may not name what is not
        the user's who is logged in. Code of this process may (`running_for`).

        Raises:
            NamespaceError: If a client names somebody else's namespace, or as `resolve`.
        """
        if not named:
            return self.resolve(runtime=runtime)
        namespace = tuple(named)
        is_foreign = logged_in_user(runtime) is not None and namespace != _CHOSEN.get()
        if is_foreign and namespace != self.resolve(runtime=runtime):
            raise NamespaceError(
                f"namespace={list(namespace)!r} is not that of the user who is logged in to this "
                f"server: leave it out of the graph's input"
            )
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


@contextmanager
def running_for(namespace: Namespace) -> Iterator[None]:
    """Run a graph for a namespace that this process's code has chosen, whoever is logged in."""
    token = _CHOSEN.set(namespace)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


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
    user = logged_in_user(runtime) if name == "user_id" else None
    if user is None:
        return value
    # The context comes from the client, who may only ever name himself.
    if value is not None and str(value) != user.identity:
        raise NamespaceError(
            f"the context's user_id={value!r} is not the user who is logged in to this server: "
            f"leave it out of the context"
        )
    return user.identity


def logged_in_user(runtime: Runtime[Any]) -> BaseUser | None:
    """The user who is logged in to the LangGraph server; None without a server or a login."""
    user = runtime.server_info.user if runtime.server_info else None
    return user if user is not None and user.is_authenticated else None


def _from_config(name: str) -> object:
    try:
        config = get_config()
    except RuntimeError:
        return None  # called outside of a graph run
    value = config.get("configurable", {}).get(name)
    # A LangGraph server where nobody logs in puts a blank user_id there.
    return None if value == "" else value


def current_runtime() -> Runtime[Any] | None:
    """The runtime of the graph run that this code is called from, if there is one."""
    try:
        return get_runtime()
    except (RuntimeError, KeyError):  # no run at all, or a Runnable that is not a graph's
        return None
