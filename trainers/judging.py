"""The judge as the scorer of training queries."""

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.judging import Judge
from langgraph_memskill.records import Answer
from langgraph_memskill.trainers.material import Scorer, TrainingQuestion


def judge_scorer(model: BaseChatModel) -> Scorer:
    """Make a scorer that asks a model.

    An answer that the judge leaves unscored is in no mean (QUIRK 72).

    Args:
        model: The judge.
    """
    judge = Judge(model)

    async def score(question: TrainingQuestion, answer: Answer) -> float | None:
        judgement = await judge.ajudge(
            question.text, question.answers, answer.text, date=question.date
        )
        return judgement.score

    return score
