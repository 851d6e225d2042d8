from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_memskill.actions import Resolution, merge_resolutions, resolve_actions
from langgraph_memskill.records import ActionType, Memory, MemoryAction, ParsedAction, Skill

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSERT, UPDATE, DELETE, NOOP = ActionType
SHOWN = [
    Memory(id=f"id-{n}", content=f"m{n}", namespace=("n",), created_at=NOW, updated_at=NOW)
    for n in range(3)
]


def skill(name: str, kind: ActionType) -> Skill:
    return Skill(name=name, description="d", instructions="i", action_type=kind)


ALL = [skill(kind.value, kind) for kind in ActionType]


def resolve(*parsed: ParsedAction, skills: list[Skill] | None = None) -> Resolution:
    return resolve_actions(parsed, SHOWN, ALL if skills is None else skills, span_id="span-1")


def insert(content: str) -> ParsedAction:
    return ParsedAction(type=INSERT, content=content)


def update(index: int | None, content: str) -> ParsedAction:
    return ParsedAction(type=UPDATE, memory_index=index, content=content)


def delete(index: int | None) -> ParsedAction:
    return ParsedAction(type=DELETE, memory_index=index)


def changes(actions: tuple[MemoryAction, ...]) -> list[tuple[ActionType, str | None, str]]:
    return [(action.type, action.memory_id, action.content) for action in actions]


def test_positions_become_ids_and_the_order_is_update_delete_insert():
    resolution = resolve(insert("new"), delete(2), update(0, "changed"))
    assert changes(resolution.actions) == [
        (UPDATE, "id-0", "changed"),
        (DELETE, "id-2", ""),
        (INSERT, None, "new"),
    ]
    assert resolution.rejected == ()


def test_an_action_carries_span_reasoning_and_the_skills_of_its_type():
    skills = [
        skill("facts", INSERT),
        skill("fix", UPDATE),
        skill("plans", INSERT),
        skill("facts", INSERT),
    ]
    parsed = ParsedAction(type=INSERT, content="new", reasoning="because")
    (action,) = resolve(parsed, skills=skills).actions
    assert action == MemoryAction(
        type=INSERT,
        content="new",
        reasoning="because",
        skills=("facts", "plans"),
        span_id="span-1",
    )


def test_noop_changes_nothing_and_is_not_rejected():
    assert resolve(ParsedAction(type=NOOP), skills=[skill("insert", INSERT)]) == Resolution((), ())


def test_a_type_that_no_skill_allows_is_rejected():
    parsed = delete(0)
    resolution = resolve(parsed, skills=[skill("a", UPDATE), skill("b", INSERT)])
    assert resolution.actions == ()
    (rejected,) = resolution.rejected
    assert rejected.action is parsed
    assert rejected.reason == (
        "no picked skill allows delete; the picked skills allow insert, update"
    )


def test_without_skills_everything_is_rejected():
    (rejected,) = resolve(insert("x"), skills=[]).rejected
    assert rejected.reason == "no picked skill allows insert; the picked skills allow nothing"


def test_a_problem_is_the_reason_of_the_rejection():
    (rejected,) = resolve(ParsedAction(type=INSERT, content="x", problem="cut off")).rejected
    assert rejected.reason == "cut off"


@pytest.mark.parametrize(
    ("parsed", "reason"),
    [
        (delete(3), "memory index 3 is out of range: 3 memories were shown"),
        (delete(-1), "memory index -1 is out of range: 3 memories were shown"),
        (delete(None), "delete names no memory"),
        (
            ParsedAction(type=DELETE, memory_id="nobody"),
            "memory id 'nobody' is not among the memories that were shown",
        ),
        (
            ParsedAction(type=DELETE, memory_index=0, memory_id="id-1"),
            "memory index 0 and memory id 'id-1' are different memories",
        ),
        (insert("  \n"), "insert without content"),
        (update(0, ""), "update without content"),
    ],
)
def test_unusable_actions_are_rejected_with_a_reason(parsed, reason):
    resolution = resolve(parsed)
    assert resolution.actions == ()
    assert [rejected.reason for rejected in resolution.rejected] == [reason]


def test_a_memory_may_be_named_by_id_or_by_both():
    resolution = resolve(
        ParsedAction(type=DELETE, memory_id="id-1"),
        ParsedAction(type=UPDATE, memory_index=0, memory_id="id-0", content="x"),
    )
    assert changes(resolution.actions) == [(UPDATE, "id-0", "x"), (DELETE, "id-1", "")]


def test_repeated_deletes_are_one():
    resolution = resolve(delete(1), delete(1), ParsedAction(type=DELETE, memory_id="id-1"))
    assert changes(resolution.actions) == [(DELETE, "id-1", "")]
    assert [rejected.reason for rejected in resolution.rejected] == [
        "the memory is already deleted by this reply"
    ] * 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_delete_beats_an_update_before_or_after_it(order):
    pair = [update(1, "changed"), delete(1)]
    resolution = resolve(*[pair[n] for n in order])
    assert changes(resolution.actions) == [(DELETE, "id-1", "")]
    assert resolution.rejected[0].reason == "the memory is deleted by this reply"


def test_the_last_update_with_content_holds():
    resolution = resolve(update(1, "first"), update(1, "second"), update(1, " "))
    assert changes(resolution.actions) == [(UPDATE, "id-1", "second")]
    assert [(r.action.content, r.reason) for r in resolution.rejected] == [
        ("first", "a later update of the memory replaces it"),
        (" ", "update without content"),
    ]


def test_a_copy_of_our_marking_is_taken_out_of_contents():
    (action,) = resolve(insert("Ann typed <\\/span> in a chat.")).actions
    assert action.content == "Ann typed </span> in a chat."


def test_equal_inserts_of_one_reply_both_stay():
    assert len(resolve(insert("x"), insert("x")).actions) == 2


def action(kind: ActionType, memory_id: str | None, content: str, span: str) -> MemoryAction:
    return MemoryAction(type=kind, memory_id=memory_id, content=content, span_id=span)


def merged(*spans: list[MemoryAction]) -> list[tuple[ActionType, str | None, str, str | None]]:
    actions = merge_resolutions(Resolution(tuple(actions), ()) for actions in spans)
    return [(a.type, a.memory_id, a.content, a.span_id) for a in actions]


def test_merging_keeps_the_last_update_and_its_span():
    assert merged([action(UPDATE, "a", "x", "s0")], [action(UPDATE, "a", "y", "s1")]) == [
        (UPDATE, "a", "y", "s1")
    ]


def test_merging_lets_a_delete_of_any_span_win():
    spans = [
        [action(UPDATE, "a", "x", "s0"), action(DELETE, "b", "", "s0")],
        [action(DELETE, "a", "", "s1"), action(DELETE, "b", "", "s1")],
        [action(UPDATE, "a", "y", "s2")],
    ]
    assert merged(*spans) == [(DELETE, "b", "", "s0"), (DELETE, "a", "", "s1")]


def test_merging_inserts_a_text_once_whatever_its_blanks():
    spans = [
        [action(INSERT, None, "The  ferry\nleaves", "s0")],
        [action(INSERT, None, "The ferry leaves", "s1"), action(INSERT, None, "the ferry", "s1")],
    ]
    assert merged(*spans) == [
        (INSERT, None, "The  ferry\nleaves", "s0"),
        (INSERT, None, "the ferry", "s1"),
    ]


def test_merging_sorts_by_type_and_drops_noops():
    spans = [
        [action(INSERT, None, "new", "s0"), action(NOOP, None, "", "s0")],
        [action(DELETE, "a", "", "s1"), action(UPDATE, "b", "x", "s1")],
    ]
    assert [kind for kind, *_ in merged(*spans)] == [UPDATE, DELETE, INSERT]


def test_merging_nothing_gives_nothing():
    assert merge_resolutions([]) == ()


PARSED = st.builds(
    ParsedAction,
    type=st.sampled_from(ActionType),
    memory_index=st.none() | st.integers(-2, 4),
    memory_id=st.none() | st.sampled_from(["id-0", "id-2", "other"]),
    content=st.sampled_from(["", " ", "a", "b"]),
    problem=st.none() | st.just("broken"),
)


@settings(deadline=None)
@given(parsed=st.lists(PARSED, max_size=8), kinds=st.sets(st.sampled_from(ActionType)))
def test_whatever_a_model_writes_the_batch_is_consistent(parsed, kinds):
    skills = [skill(kind.value, kind) for kind in kinds]
    resolution = resolve_actions(parsed, SHOWN, skills, span_id="s")
    touched = [a.memory_id for a in resolution.actions if a.type is not INSERT]
    assert len(touched) == len(set(touched))
    assert set(touched) <= {"id-0", "id-1", "id-2"}
    assert {a.type for a in resolution.actions} <= kinds - {NOOP}
    assert all(a.content for a in resolution.actions if a.type is not DELETE)
    dropped = sum(1 for p in parsed if p.type is NOOP and p.problem is None)
    assert len(resolution.actions) + len(resolution.rejected) + dropped == len(parsed)
