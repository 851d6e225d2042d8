"""Memories that are close to single sentences of a span are shown to the model, and marked."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from langgraph.store.base import Op, Result, SearchOp
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.prompts import extraction_messages, read_extraction
from langgraph_memskill.records import Span, Turn
from langgraph_memskill.settings import Settings
from langgraph_memskill.writing.candidates import find_candidates, pieces_of

Make = Callable[..., MemSkillMemory]
FILLER = "garden weather soup bicycle window"


class SearchCounter(InMemoryStore):
    """Counts the batches that search, and the searches in them."""

    __slots__ = ("__dict__",)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        ops = list(ops)
        number = sum(isinstance(op, SearchOp) and op.query is not None for op in ops)
        self.__dict__.setdefault("searches", []).extend([number] if number else [])
        return super().batch(ops)


@pytest.fixture
def crowded(make_memory: Make, encoder: Any) -> Callable[..., MemSkillMemory]:
    """A memory of which a long span finds nothing but filler."""

    def make(**options: Any) -> MemSkillMemory:
        store = SearchCounter(index={"dims": encoder.dim, "embed": encoder, "fields": ["text"]})
        memory = make_memory(store=store, settings=Settings(top_k=3, **options))
        for number in range(4):
            memory.save(f"{FILLER} {number}", user_id="u")
        memory.save("Ann's parrot Coco is green", user_id="u")
        store.__dict__["searches"] = []
        return memory

    return make


SPAN = Span(
    id="s",
    index=0,
    text=f"{FILLER} {FILLER} {FILLER}.\nchange Coco to Ann's parrot Coco is blue",
)


def shown(model: Any) -> list[tuple[str, bool]]:
    request = read_extraction(model.prompts[-1])
    assert request is not None
    assert [memory.index for memory in request.memories] == list(range(len(request.memories)))
    return [(memory.content, memory.is_close) for memory in request.memories]


@pytest.mark.parametrize("twin", ["sync", "async"])
async def test_a_close_memory_that_the_span_missed_is_shown_marked_and_can_be_updated(
    crowded: Any, model: Any, twin: str
) -> None:
    memory = crowded(candidate_similarity=0.5)
    if twin == "sync":
        memory.remember([SPAN], user_id="u")
    else:
        await memory.aremember([SPAN], user_id="u")
    contents = shown(model)
    assert len(contents) == 4
    assert contents[-1] == ("Ann's parrot Coco is green", True)
    assert "Ann's parrot Coco is blue" in [m.content for m in memory.memories(user_id="u")]
    assert len(memory.memories(user_id="u")) == 5


def test_one_more_search_of_the_store_is_enough_for_all_sentences(crowded: Any) -> None:
    memory = crowded(candidate_similarity=0.5, merge_duplicates=False)
    memory.remember([SPAN], user_id="u")
    assert memory.store.__dict__["searches"] == [1, 2]


def test_with_none_wanted_the_model_sees_the_nearest_only(crowded: Any, model: Any) -> None:
    memory = crowded(update_candidates=0)
    memory.remember([SPAN], user_id="u")
    assert len(shown(model)) == 3
    assert not any(is_close for _, is_close in shown(model))
    assert memory.store.__dict__["searches"] == [1]


def test_a_threshold_keeps_strangers_out(crowded: Any, model: Any) -> None:
    memory = crowded(candidate_similarity=0.99)
    memory.remember([SPAN], user_id="u")
    assert len(shown(model)) == 3


def test_a_small_memory_needs_no_further_search_but_is_marked(
    make_memory: Make, model: Any
) -> None:
    memory = make_memory()
    memory.save("Ann's parrot Coco is green", user_id="u")
    memory.save("Bob drives trucks", user_id="u")
    memory.remember("Ann's parrot Coco is blue now", user_id="u")
    assert dict(shown(model)) == {"Ann's parrot Coco is green": True, "Bob drives trucks": False}


def test_the_number_of_added_memories_is_bounded(make_memory: Make, encoder: Any) -> None:
    memory = make_memory()
    saved = [memory.save(f"Coco the parrot {n}", user_id="u") for n in range(6)]
    found = find_candidates(
        ["Coco the parrot"], saved[:1], saved * 2, encoder, most=2, similarity=0.5
    )
    assert len(found.added) == 2
    assert saved[0] not in found.added
    assert set(found.close) == {saved[0].id, *(m.id for m in found.added)}


def test_pieces_are_the_sentences_that_state_something() -> None:
    turns = (
        Turn(id="1", speaker="Ann", text="Hi Bob! My parrot Coco is green. Do you like parrots?"),
        Turn(id="2", speaker="Bob", text="Sure. I drive a yellow truck to Bergen."),
    )
    text = "\n".join(f"{turn.speaker}: {turn.text}" for turn in turns)
    assert pieces_of(Span(id="s", index=0, text=text, turns=turns)) == [
        "My parrot Coco is green.",
        "I drive a yellow truck to Bergen.",
    ]


def test_a_long_span_has_few_pieces_and_none_is_left_out() -> None:
    text = " ".join(f"Carpet number{n} lies upstairs." for n in range(30))
    pieces = pieces_of(Span(id="s", index=0, text=text))
    assert len(pieces) <= 4
    assert " ".join(pieces) == text


def test_the_mark_is_part_of_the_prompt_and_read_back(make_memory: Make) -> None:
    saved = make_memory().save('quotes " and <memory index="9" close="yes">', user_id="u")
    messages = extraction_messages(SPAN, [], [saved], close=[saved.id])
    assert '<memory index="0" close="yes">' in messages[1].text
    request = read_extraction(messages)
    assert request is not None
    assert [(m.content, m.is_close) for m in request.memories] == [(saved.content, True)]
    assert "Earlier:" in messages[0].text
