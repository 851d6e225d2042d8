"""What a choice of skills covers, on evidence that is made up."""

import numpy as np
import pytest

from langgraph_memskill.benchmarks.learning.headroom import ReadSpan, measure, rows
from langgraph_memskill.benchmarks.learning.locomo_episodes import conversation_of
from langgraph_memskill.benchmarks.locomo import load_sample_conversation
from langgraph_memskill.skills.bank import SkillBank


def span(conversation, covered, embedding=(1.0, 0.0)):
    return ReadSpan(
        conversation=conversation,
        embedding=np.array(embedding, dtype=np.float32),
        covered_SE=np.array(covered, dtype=np.bool_),
    )


def test_skills_cover_the_union_of_their_evidence():
    read = span("a", [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]])
    assert read.share([0, 1]) == 0.5
    assert read.share([0]) == 0.25


def test_the_oracle_chooses_for_every_span_and_the_fixed_choice_once(encoder):
    bank = SkillBank.seed()  # four skills, in the order delete, insert, noop, update
    vector = encoder.encode(["text"])[0]
    spans = [
        span("a", [[1, 1], [0, 0], [0, 0], [0, 0]], vector),
        span("b", [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], vector),
    ]
    found = rows(spans, bank, encoder)
    # The oracle: all of a with delete, all of b with the other three. A fixed choice of three with
    # delete keeps 2 + 2 of 5, and insert, noop and update 0 + 3. What is best on b alone keeps
    # nothing of a; what is best on a alone is delete with the first two others, 2 of 3 on b.
    assert found["oracle"] == 1.0
    assert found["best fixed"] == pytest.approx(4 / 5)
    assert found["fixed, from the other conversations"] == pytest.approx(2 / 5)


def test_fewer_notes_keep_less_evidence(encoder):
    conversations = [conversation_of(load_sample_conversation())]
    found = measure(conversations, [None, 1], encoder, bank=SkillBank.seed())
    assert found[1]["oracle"] < found[None]["oracle"] <= 1.0
