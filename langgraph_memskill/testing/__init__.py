"""Tests for other people's code: `langgraph_memskill.testing.store_suite` checks LangGraph stores.

This subpackage needs pytest; nothing else of the package does.
"""

import pytest

# Before they are imported, so that a failing check shows its values.
pytest.register_assert_rewrite("langgraph_memskill.testing.store_checks")
