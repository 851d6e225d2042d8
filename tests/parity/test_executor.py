"""Parity kit section 8, executor: the skills in the prompt, actions on memories, the merge rule.

`apply.json` is checked here as far as `resolve_actions` goes; the store's side of it is in
test_executor_apply.py, and replies are in test_executor_parse.py.
"""

from datetime import UTC, datetime
from typing import Any

from langgraph_memskill.actions import merge_resolutions, resolve_actions
from langgraph_memskill.prompts import extraction_messages, read_extraction
from langgraph_memskill.records import (
    ActionType,
    Memory,
    MemoryAction,
    ParsedAction,
    Skill,
    Span,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERY_TYPE = tuple(
    Skill(name=kind.value, description="d", instructions="i", action_type=kind)
    for kind in ActionType
)


def memory_at(position: int) -> Memory:
    """The memory at a position of the bank; one that is outside of it has been deleted since."""
    return Memory(id=str(position), content="", namespace=("kit",), created_at=NOW, updated_at=NOW)


def parsed_from(result: dict[str, Any]) -> ParsedAction:
    """A result of the kit as the parser would give it."""
    name = str(result["action_type"]).lower()
    try:
        kind = ActionType(name)
        index = (
            None if kind in (ActionType.INSERT, ActionType.NOOP) else int(result["memory_index"])
        )
        problem = None if result["success"] else "failed"
    except (ValueError, TypeError):
        kind, index, problem = ActionType.NOOP, None, "unknown type, or no index"
    return ParsedAction(
        type=kind, memory_index=index, content=result["memory_content"] or "", problem=problem
    )


def bank_after(actions: tuple[MemoryAction, ...], bank: dict[str, str]) -> list[str]:
    """Apply actions as a store does that knows memories by their ids only."""
    bank = dict(bank)
    for number, action in enumerate(actions):
        if action.type is ActionType.INSERT:
            bank[f"new {number}"] = action.content
        elif action.memory_id in bank:
            if action.type is ActionType.UPDATE:
                bank[action.memory_id] = action.content
            else:
                del bank[action.memory_id]
    return list(bank.values())


def better_bank(case: dict[str, Any]) -> list[str]:
    """What is left if each memory is deleted once, indices are in range, and texts not blank."""
    bank: dict[Any, str] = dict(enumerate(case["contents"]))
    named: list[tuple[str, Any, str]] = []
    for action in case["actions"]:
        index, shown = action["memory_index"], case["retrieved_indices"]
        found = shown[index] if isinstance(index, int) and 0 <= index < len(shown) else None
        if action["success"]:
            named.append((action["action_type"].upper(), found, action["memory_content"] or ""))
    for kind, found, text in named:
        if kind == "UPDATE" and found in bank and text.strip():
            bank[found] = text
    gone = {found for kind, found, _ in named if kind == "DELETE"}
    new = [text for kind, _, text in named if kind == "INSERT" and text.strip()]
    return [text for position, text in bank.items() if position not in gone] + new


def apply_quirks(case: dict[str, Any]) -> list[int]:
    """The numbers in QUIRKS.md of the entries that an apply case runs into."""
    found, shown = [], case["retrieved_indices"]
    taken = [a for a in case["actions"] if a["success"]]
    pointed = [a for a in taken if a["action_type"] in ("UPDATE", "DELETE")]
    deleted = [
        shown[a["memory_index"]]
        for a in pointed
        if a["action_type"] == "DELETE" and -len(shown) <= a["memory_index"] < len(shown)
    ]
    if any(
        not a["memory_content"].strip() for a in taken if a["action_type"] in ("INSERT", "UPDATE")
    ):
        found.append(22)
    if len(deleted) != len(set(deleted)) or any(a["memory_index"] < 0 for a in pointed):
        found.append(25)
    if "fails" in (case["retriever_embedding"], case["state_encoder"]):
        found.append(30)  # a batch is applied as a whole or not at all, never by halves
    return found


def test_actions_come_to_the_kits_memories_or_better(kit):
    mismatches = []
    for case in kit.cases("executor/apply.json"):
        retrieved = [memory_at(position) for position in case["retrieved_indices"]]
        parsed = [parsed_from(action) for action in case["actions"]]
        resolution = resolve_actions(parsed, retrieved, EVERY_TYPE, span_id="s")
        bank = {str(position): text for position, text in enumerate(case["contents"])}
        got = bank_after(resolution.actions, bank)
        quirks = apply_quirks(case)
        kit_is_right = not quirks and case["expected"]["status"] == "ok"
        want = case["expected"]["contents"] if kit_is_right else better_bank(case)
        touched = [a.memory_id for a in resolution.actions if a.type is not ActionType.INSERT]
        order = [a.type for a in resolution.actions]
        if (
            got != want
            or len(touched) != len(set(touched))
            or order != sorted(order, key=["update", "delete", "insert"].index)
            or len(resolution.rejected) + len(resolution.actions) != len(parsed)
        ):
            mismatches.append((case["id"], quirks, got, want, resolution))
    assert mismatches == []


def test_spans_against_one_snapshot_merge_like_the_kit(kit):
    mismatches = []
    for case in kit.cases("executor/merge.json"):
        size = case["batch_memory_size"]
        resolutions = []
        for entry in sorted(case["entries"], key=lambda entry: entry["session_idx"]):
            shown = entry["extracted"]["retrieved_indices"] or []
            parsed = [parsed_from(result) for result in entry["extracted"]["results"] or []]
            retrieved = [memory_at(position) for position in shown]
            span = f"span {entry['session_idx']}"
            resolutions.append(resolve_actions(parsed, retrieved, EVERY_TYPE, span_id=span))
        merged = merge_resolutions(resolutions)
        got = [
            (action.type.upper(), int(action.memory_id or -1), action.content)
            for action in merged
            if action.memory_id is None or int(action.memory_id) in range(size)
        ]
        want = [
            (r["action_type"].upper(), r["memory_index"], r["memory_content"].strip())
            for r in case["expected"]["results"]
        ]
        # The kit's positions have an order, ids have none: within a type only inserts keep theirs.
        ranked = sorted(got, key=lambda a: (["UPDATE", "DELETE", "INSERT"].index(a[0]), a[1]))
        bank = {str(position): f"m{position}" for position in range(size)}
        left = [text.strip() for text in case["expected"]["bank_after_apply"]["contents"]]
        if ranked != want or bank_after(merged, bank) != left:
            mismatches.append((case["id"], got, want, bank_after(merged, bank), left))
    assert mismatches == []


def skills_of(case: dict[str, Any]) -> list[Skill]:
    """The skills of a case; the types rule out a null skill, so the caller has removed it."""
    return [
        Skill(
            name=skill["name"] or "",
            description="What it does.",
            instructions="How to do it.",
            action_type=ActionType(skill.get("update_type") or "insert"),
        )
        for skill in case["skills"]
        if skill is not None
    ]


def test_prompt_lists_the_skills_of_the_kit_in_its_order(kit):
    mismatches = []
    for case in kit.cases("executor/execute.json"):
        memories = [
            Memory(id=str(n), content=text, namespace=("kit",), created_at=NOW, updated_at=NOW)
            for n, text in enumerate(case["retrieved_memories"])
        ]
        skills = skills_of(case)
        span = Span(id="s", index=0, text=case["session_text"] or "")
        request = read_extraction(extraction_messages(span, skills, memories))
        assert request is not None
        names = [skill.name for skill in request.skills]
        shown = [memory.content for memory in request.memories]
        if not case["expected"].get("llm_calls"):
            # No call: there is nothing to read, or nothing to do; the extract node sees to it.
            right = not names or not span.text.strip()
        else:
            wanted = case["expected"]["llm_calls"][0]["skill_names_in_prompt_order"]
            right = names == wanted and shown == case["retrieved_memories"]
        if not right or request.span_text != span.text:
            mismatches.append((case["id"], names, case["expected"]))
    assert mismatches == []
