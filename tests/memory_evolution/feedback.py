"""Bad feedback about a question, which makes a hard case."""

from collections.abc import Callable

from langgraph_memskill.memory import MemSkillMemory

Open = Callable[..., MemSkillMemory]
QUESTION = "Where does Clara keep her bicycle?"


def failed(memory: MemSkillMemory, *questions: str, user: str = "u") -> None:
    episode = memory.remember("remember Clara rides daily", user_id=user).episode_id
    for question in questions or (QUESTION,):
        memory.feedback(episode, 0.0, question=question, expected="in the old shed")
