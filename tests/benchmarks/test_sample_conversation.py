"""The conversation that comes with the package: it must make sense to whoever runs the demo."""

from langgraph_memskill.benchmarks import locomo
from langgraph_memskill.benchmarks.locomo import CATEGORIES, load_sample_conversation
from langgraph_memskill.benchmarks.scorers import stems


def test_its_size():
    sample = load_sample_conversation()
    assert len(sample.sessions) == 3
    assert all(14 <= len(session.turns) <= 18 for session in sample.sessions)
    assert all(session.date for session in sample.sessions)
    assert len(sample.metadata.speakers) == 2


def test_its_questions_cover_every_category():
    questions = load_sample_conversation().questions
    assert {asked.category for asked in questions} == set(CATEGORIES.values())
    assert len(locomo.scorable(questions)) >= 14
    assert all(asked.evidence for asked in questions)


def test_the_evidence_of_its_single_hop_questions_holds_their_answer():
    sample = load_sample_conversation()
    texts = {turn.id: turn.text for session in sample.sessions for turn in session.turns}
    checked = 0
    for asked in sample.questions:
        if asked.category == "single-hop":
            said = stems(" ".join(texts[turn_id] for turn_id in asked.evidence))
            assert set(stems(asked.answers[0])) <= set(said), asked
            checked += 1
    assert checked >= 5


def test_the_people_alternate():
    for session in load_sample_conversation().sessions:
        speakers = [turn.speaker for turn in session.turns]
        assert all(first != second for first, second in zip(speakers, speakers[1:], strict=False))
