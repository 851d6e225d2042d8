"""What the extractive model answers from notes, and in a chat."""

from datetime import UTC, datetime

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langgraph_memskill.extractive import ExtractiveChatModel
from langgraph_memskill.extractive.notes import read_note
from langgraph_memskill.prompts import (
    AnswerStyle,
    answer_messages,
    recall_block,
)
from langgraph_memskill.skills.bank import SkillBank

BANK = SkillBank.seed("conversation")
NOW = datetime(2024, 1, 1, tzinfo=UTC)

LISBON = "On 2 March 2024, the user said: I live in Lisbon and work as a nurse."
GROUP = "On 8 May 2023, Ann said: I went to a support group yesterday [7 May 2023]. I felt brave."
DOGS = "On 9 May 2023, Mel said: I have two dogs named Rex and Luna."


def test_notes_are_read_back():
    assert read_note(GROUP) == (
        "8 May 2023",
        "Ann",
        "I went to a support group yesterday [7 May 2023]. I felt brave.",
    )
    assert read_note("Oslo is old.") == ("", "", "Oslo is old.")


@pytest.mark.parametrize(
    ("question", "phrase"),
    [
        ("When did Ann go to the support group?", "7 May 2023"),
        ("How many dogs does Mel have?", "two dogs"),
        ("Does Mel have dogs?", "yes"),
        ("What is the capital of Peru?", "No information available"),
    ],
)
def test_short_answers(chat, question, phrase, memory):
    prompt = answer_messages(question, [memory(GROUP), memory(DOGS)], style=AnswerStyle.SHORT)
    assert chat.invoke(prompt).text == phrase


def test_where_and_who_answers(chat, memory):
    memories = [
        memory("On 1 May 2024, Ann said: My brother Karl moved to Oslo in the spring."),
        memory(DOGS),
    ]
    where = answer_messages("Where did Ann's brother move?", memories, style=AnswerStyle.SHORT)
    who = answer_messages("Who moved in the spring?", memories, style=AnswerStyle.SHORT)
    assert chat.invoke(where).text == "Oslo"
    assert chat.invoke(who).text == "Karl"


def test_a_plain_answer_says_who_said_it_and_when(chat, memory):
    prompt = answer_messages("When did Ann go to the support group?", [memory(GROUP), memory(DOGS)])
    assert chat.invoke(prompt).text == (
        'Ann said on 8 May 2023: "I went to a support group yesterday [7 May 2023]."'
    )


def test_a_tagged_answer_stands_inside_tags(chat, memory):
    memories = [memory("Oslo: Oslo is the capital of Norway.")]
    prompt = answer_messages("What is the capital of Norway?", memories, style=AnswerStyle.TAGGED)
    text = chat.invoke(prompt).text
    assert text.count("<answer>") == 1
    assert "Oslo" in text.partition("<answer>")[2]


@pytest.mark.parametrize("style", list(AnswerStyle))
def test_without_memories_the_answer_is_that_there_is_none(chat, style):
    text = chat.invoke(answer_messages("Where does Ann live?", [], style=style)).text
    assert {"plain": "do not say", "short": "No information", "tagged": "unknown"}[style] in text


def test_the_date_of_a_foreign_memory_is_used(chat, memory):
    prompt = answer_messages(
        "When did Ann buy the boat?",
        [memory("Ann bought a boat.", "3:00 pm on 4 July, 2023")],
        style=AnswerStyle.SHORT,
    )
    assert chat.invoke(prompt).text == "4 July 2023"


def test_the_present_state_of_an_updated_memory_is_answered(chat, memory):
    updated = f"On 2 May 2024, the user said: I live in Porto now. Earlier: {LISBON}"
    prompt = answer_messages("Where does the user live now?", [memory(updated)])
    assert "Porto" in chat.invoke(prompt).text


def test_in_a_chat_it_quotes_its_notes(chat, memory):
    system = SystemMessage(f"You are kind.\n\n{recall_block([memory(GROUP), memory(DOGS)])}")
    reply = chat.invoke([system, HumanMessage("How many dogs does Mel have?")])
    assert (
        reply.text == 'From my notes: Mel said on 9 May 2023: "I have two dogs named Rex and Luna."'
    )


def test_in_a_chat_it_says_what_it_is(chat):
    for said in ("I like jam.", "Where do I live?", ""):
        assert ExtractiveChatModel.notice in chat.invoke([HumanMessage(said)]).text
    history = [HumanMessage("Who am I?"), AIMessage("x"), HumanMessage("fine")]
    assert "I have read that." in chat.invoke(history).text


def test_it_can_stand_in_as_an_agents_model(chat):
    assert chat.bind_tools([{"name": "x"}]) is chat


def test_it_refuses_structured_output_as_langchain_expects(chat):
    with pytest.raises(NotImplementedError):
        chat.with_structured_output({"title": "x", "type": "object"})


async def test_async_calls_work(chat, memory):
    prompt = answer_messages("Does Mel have dogs?", [memory(DOGS)], style=AnswerStyle.SHORT)
    assert (await chat.ainvoke(prompt)).text == "yes"
