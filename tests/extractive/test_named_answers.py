import pytest

from langgraph_memskill.extractive.named_answers import asks_for_name, name_in, offered_answer
from langgraph_memskill.extractive.sentences import words_of
from langgraph_memskill.prompts import AnswerStyle, answer_messages


@pytest.mark.parametrize(
    ("question", "sentence", "answer"),
    [
        ("Which is longer, the Rhine or the Elbe?", "The Elbe is 1,094 km long.", "the Elbe"),
        ("Who is older, Ann Berg or Bob?", "Ann Berg was born before Bob.", "Ann Berg"),
        ("Which of Ann Berg and Karl Holm is a nurse?", "Karl Holm is a nurse.", "Karl Holm"),
        ("Which is longer, the Rhine or the Elbe?", "A river is long.", ""),
        ("Does she drink tea or coffee?", "She drinks coffee.", ""),
        ("Where does Ann live?", "Ann lives in Oslo.", ""),
    ],
)
def test_one_of_two_that_are_offered(question, sentence, answer):
    assert offered_answer(question, sentence) == answer


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("What award was the book a finalist for?", True),
        ("It was covered by what Lyric Street band?", True),
        ("Which team won?", True),
        ("What is the name of Ann's dog?", True),
        ("What kind of book does Ann read?", False),
        ("What did Ann paint?", False),
        ("Why did Ann leave?", False),
    ],
)
def test_what_has_a_name_of_its_own(question, asks):
    assert asks_for_name(question) is asks


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ('I loved "Charlotte\'s Web" and cried over Rex.', "Charlotte's Web"),
        ("It was covered by the country duo Love and Theft in 2013.", "Love and Theft"),
        ("Ann plays for the Oklahoma Sooners.", "the Oklahoma Sooners"),
        ("Hey Deb, lately I play CS:GO with friends.", "CS:GO"),
        ("Nothing here has one.", ""),
    ],
)
def test_a_name_that_the_question_does_not_say(sentence, name):
    assert name_in(sentence, set(words_of("What does Ann like?"))) == name


@pytest.mark.parametrize(
    ("question", "phrase"),
    [
        ("What year did Ann move to Bergen?", "2021"),
        ("What team does Karl play for?", "Brann"),
        ("Who plays football, Karl Holm or Ann Berg?", "Karl Holm"),
    ],
)
def test_answers_are_as_short_as_what_is_asked_for(chat, memory, question, phrase):
    memories = [
        memory("On 8 May 2023, Ann said: I moved to Bergen in June 2021."),
        memory("On 9 May 2023, Ann said: Karl Holm plays football for Brann every Sunday."),
    ]
    prompt = answer_messages(question, memories, style=AnswerStyle.SHORT)
    assert chat.invoke(prompt).text == phrase
