"""Settings of a run over ALFWorld's games."""

import pytest

from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"agent": "wizard"}, "no agent 'wizard'"),
        ({"rows": ("full",)}, "no row 'full' for ALFWorld"),
        ({"rows": ("none", "none")}, "named twice"),
        ({"rows": ("controller",)}, "needs the folder"),
        ({"agent": "random", "rows": ("none", "rag")}, "'random' uses no memory"),
        ({"max_steps": 0}, "max_steps"),
        ({"span_tokens": 0}, "span_tokens"),
    ],
)
def test_bad_values_are_named(values, message) -> None:
    with pytest.raises(ConfigError, match=message):
        AlfworldSettings(**values)
