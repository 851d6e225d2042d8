import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from langgraph_memskill.records import Answer
from langgraph_memskill.trainers.judging import judge_scorer, read_score
from langgraph_memskill.trainers.material import TrainingQuestion


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ('{"score": 1}', 1.0),
        ('Right in part: {"score": 0.5}.', 0.5),
        ('```json\n{"score": 0.0}\n```', 0.0),
        ('{"score": 7}', None),
        ('{"score": NaN}', None),
        ('{"score": true}', None),
        ('{"score": "1"}', None),
        ("1.0", None),
        ("", None),
    ],
)
def test_only_the_three_scores_count(reply, score):
    """QUIRK 72."""
    assert read_score(reply) == score


async def test_the_judge_scores_an_answer():
    question = TrainingQuestion(id="q", text="Where?", answers=("Lisbon",))
    scorer = judge_scorer(FakeListChatModel(responses=['{"score": 0.5}', "no idea"]))
    assert await scorer(question, Answer(text="Portugal")) == 0.5
    assert await scorer(question, Answer(text="Portugal")) is None
