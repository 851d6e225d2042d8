"""The benchmarks by name: those of this package, and those that others add."""

from importlib import import_module
from importlib.metadata import entry_points

from langgraph_memskill.benchmarks.task import Task
from langgraph_memskill.errors import ConfigError

ENTRY_POINTS = "langgraph_memskill.tasks"
"""Group of entry points through which an installed package brings benchmarks ("module:TASK")."""

_BUILT_IN = {
    "locomo": "langgraph_memskill.benchmarks.locomo_task:TASK",
    "longmemeval": "langgraph_memskill.benchmarks.longmemeval_task:TASK",
    "hotpotqa": "langgraph_memskill.benchmarks.hotpotqa_task:TASK",
}
_registered: dict[str, Task] = {}


def register(task: Task) -> Task:
    """Make a benchmark known under its name in this process.

    Args:
        task: The benchmark; one of the same name is replaced.

    Returns:
        The same task.
    """
    _registered[task.name] = task
    return task


def task_names() -> tuple[str, ...]:
    """Names of the known benchmarks, sorted; nothing is imported."""
    return tuple(sorted({*_places(), *_registered}))


def get_task(name: str) -> Task:
    """Find a benchmark.

    Args:
        name: A known name, or "module:attribute" of any `Task` that can be imported.

    Raises:
        ConfigError: If there is none.
    """
    if name in _registered:
        return _registered[name]
    place = _places().get(name, name if ":" in name else "")
    if not place:
        known = ", ".join(task_names())
        raise ConfigError(f"there is no benchmark {name!r}; known are {known}, or MODULE:TASK")
    module, _, attribute = place.partition(":")
    try:
        task = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the benchmark {name!r} cannot be imported: {error}") from error
    if not isinstance(task, Task):
        raise ConfigError(f"{place} is {type(task).__name__}; expected a Task")
    return task


def _places() -> dict[str, str]:
    others = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return {**others, **_BUILT_IN}
