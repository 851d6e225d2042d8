"""The checks of the store suite, one subject a file.

A check's id is the part of its name after `test_`, as "ns04"; an id is never used again for
something else. Its docstring says which rule it checks and, after "Where:", where LangGraph says
so; `base` is langgraph/store/base/__init__.py.
"""
