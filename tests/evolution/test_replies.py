"""Replies of the designer, good, odd and hostile."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel

from langgraph_memskill.errors import ParseError
from langgraph_memskill.evolution.checking import check
from langgraph_memskill.evolution.records import ChangeAction, ProposedChange, RootCause
from langgraph_memskill.evolution.replies import (
    AnalysisReply,
    ChangeItem,
    CriticismReply,
    ProposalReply,
    analysis_of,
    criticism_of,
    proposal_of,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.lint import lint
from langgraph_memskill.skills.rules import LintLevel

PATTERN = {
    "name": "dates",
    "cases": [1, "case 3", "2"],
    "root_cause": "Memory Quality",
    "explanation": "no dates",
    "recommendation": "write dates",
}
CHANGE = {
    "action": "refine_existing",
    "name": "insert",
    "description": "Sharper.",
    "reason": "too vague",
}


def test_an_analysis_amid_prose() -> None:
    text = f"Let me see.\n```json\n{json.dumps({'summary': 's', 'patterns': [PATTERN]})}\n```\nOK."
    analysis = analysis_of(text)
    assert analysis.summary == "s"
    [pattern] = analysis.patterns
    assert (pattern.name, pattern.cases) == ("dates", (1, 3, 2))
    assert pattern.root_cause is RootCause.MEMORY_QUALITY


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '{"patterns": []}', "[1, 2]"])
def test_what_is_no_analysis(text: str) -> None:
    with pytest.raises(ParseError):
        analysis_of(text)


def test_criticism_keeps_or_improves() -> None:
    assert criticism_of('{"verdict": "Keep", "criticism": "fine"}').analysis is None
    improved = criticism_of(
        json.dumps({"verdict": "improve", "analysis": {"patterns": [PATTERN]}})
    ).analysis
    assert improved is not None
    assert improved.patterns[0].name == "dates"


def test_a_bare_analysis_is_criticism_too() -> None:
    assert criticism_of(json.dumps({"patterns": [PATTERN]})).analysis is not None


def test_improving_without_an_analysis_is_unreadable() -> None:
    with pytest.raises(ParseError, match="neither"):
        criticism_of('{"verdict": "improve"}')


REFINED = ProposedChange(
    action=ChangeAction.REFINE_EXISTING,
    name="insert",
    description="Sharper.",
    reason="too vague",
)


@pytest.mark.parametrize(
    "reply",
    [
        {"summary": "s", "changes": [CHANGE]},
        [CHANGE],
        CHANGE,
        {"refined_skill": {"name": "insert", "description": "Sharper.", "reason": "too vague"}},
        {**CHANGE, "description": None, "changes": {"description": "Sharper."}},
    ],
    ids=["changes", "list", "flat", "by its key", "nested texts"],
)
def test_the_forms_of_one_change(reply: object) -> None:
    assert proposal_of(json.dumps(reply)).changes == (REFINED,)


def test_structured_and_text_are_read_alike() -> None:
    reply = ProposalReply(
        summary="s", changes=[ChangeItem(action="refine_existing", name="insert", reason="r")]
    )
    assert proposal_of(reply) == proposal_of(reply.model_dump_json())


def test_the_last_of_several_values_counts() -> None:
    text = f"For example {json.dumps({'changes': []})}, so: {json.dumps({'changes': [CHANGE]})}"
    assert proposal_of(text).changes == (REFINED,)


def test_a_reply_that_was_cut_off_keeps_its_complete_changes() -> None:
    text = json.dumps({"summary": "s", "changes": [CHANGE, CHANGE]})[:-40]
    assert proposal_of(text).changes[0] == REFINED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("action", "changes", "name", "description", "instructions", "action_type"),
                    *("new_skill", "refined_operation", "update_type", "summary", "reason"),
                    *("verdict", "analysis", "patterns", "cases", "root_cause", "x"),
                ]
            ),
            inner | st.sampled_from(["add_new", "refine_existing", "insert", "keep"]),
            max_size=6,
        )
    ),
    max_leaves=25,
)


@given(st.one_of(st.text(max_size=200), JSON.map(json.dumps)))
def test_no_reply_raises_anything_but_a_parse_error(text: str) -> None:
    for read in (analysis_of, criticism_of, proposal_of):
        with suppress(ParseError):
            read(text)  # type: ignore[operator]  # any of the three


@given(JSON.map(json.dumps))
def test_no_reply_makes_a_bank_invalid(text: str) -> None:
    try:
        proposal = proposal_of(text)
    except ParseError:
        return
    bank = SkillBank.seed()
    found = check(
        proposal.changes,
        bank,
        encoder=_Flat(),
        settings=EvolutionSettings(),
        at="2026-01-31T09:30:00+00:00",
    )
    assert not [issue for issue in lint(found.bank) if issue.level is LintLevel.ERROR]
    assert len(found.changes) + len(found.rejected) == len(proposal.changes)
    assert SkillBank.from_json(found.bank.to_json()).version == found.bank.version


class _Flat:
    """Every text is a direction of its own, so none is a copy of another."""

    name, dim = "flat", 64

    def encode(self, texts: Any) -> Any:
        return np.eye(len(texts), self.dim, dtype=np.float32)


@pytest.mark.parametrize("schema", [AnalysisReply, CriticismReply, ProposalReply])
def test_strict_servers_take_the_schemas(schema: type[BaseModel]) -> None:
    text = json.dumps(to_strict_json_schema(schema))
    assert '"default"' not in text
