from langchain_core.language_models.fake_chat_models import FakeListChatModel

from langgraph_memskill.records import Answer
from langgraph_memskill.trainers.judging import judge_scorer
from langgraph_memskill.trainers.material import TrainingQuestion


async def test_the_judge_scores_an_answer():
    question = TrainingQuestion(id="q", text="Where?", answers=("Lisbon",))
    scorer = judge_scorer(FakeListChatModel(responses=['{"score": 0.5}', "no", "no", "no"]))
    assert await scorer(question, Answer(text="Portugal")) == 0.5
    assert await scorer(question, Answer(text="Portugal")) is None
