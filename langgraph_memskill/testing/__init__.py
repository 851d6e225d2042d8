"""Tests for other people's code: `store_suite` checks LangGraph stores (needs pytest)."""
