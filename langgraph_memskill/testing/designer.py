"""A designer without a language model: rules that work on what stands in the prompt."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, PrivateAttr

from langgraph_memskill.evolution.reading import (
    DesignerRequest,
    DesignerTask,
    ShownCase,
    ShownPattern,
    read_designer,
)
from langgraph_memskill.stop_words import STOP_WORDS

_STORAGE = {"never_stored", "lost"}
_HOPELESS = "not_used"
_TIMES = re.compile(r"\bwhen\b|\bhow long\b|\bwhat (?:day|date|year|month|time)\b", re.IGNORECASE)
_PLACES = re.compile(r"\bwhere\b", re.IGNORECASE)
_MAX_WORDS = 6


class RuleDesigner(BaseChatModel):
    """Analyses hard cases and proposes skills by plain rules, for tests and demonstrations.

    It knows only what the designer's prompts say: cases are grouped by what they ask for (times,
    places, other matters) and by their diagnosis, and each group becomes a skill that names the
    kinds of words in its questions, or sharpens the one that an earlier evolution has made. A
    prompt that is none of the designer's is an error.
    """

    failures: int = 0
    """How many of the next calls raise."""
    unreadable: int = 0
    """How many of the next replies are no JSON."""
    improvements: int = 0
    """In how many of the next rounds of criticism it improves the analysis."""
    structured: bool = False
    """Whether it has structured output."""
    _requests: list[DesignerRequest] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "rules"

    @property
    def requests(self) -> list[DesignerRequest]:
        """What it was asked so far, as it read it."""
        return self._requests

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Fill a schema, if it is to have that ability."""
        if not self.structured:
            raise NotImplementedError
        model: type[BaseModel] = schema

        def fill(messages: Any) -> dict[str, Any]:
            raw = self.invoke(messages)
            try:
                parsed = model.model_validate_json(str(raw.text))
            except ValueError as error:
                return {"raw": raw, "parsed": None, "parsing_error": error}
            return {"raw": raw, "parsed": parsed, "parsing_error": None}

        return RunnableLambda(fill)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = read_designer(messages)
        if request is None:
            raise ValueError("this is no prompt of the designer")
        self._requests.append(request)
        if self.failures > 0:
            self.failures -= 1
            raise ConnectionError("the endpoint is down")
        if self.unreadable > 0:
            self.unreadable -= 1
            return _result("I would rather think about it.")
        return _result(json.dumps(self._reply(request)))

    def _reply(self, request: DesignerRequest) -> dict[str, Any]:
        if request.task is DesignerTask.ANALYSE:
            return _analysis(request.cases)
        if request.task is DesignerTask.PROPOSE:
            return _proposal(request)
        if self.improvements > 0:
            self.improvements -= 1
            analysis = _analysis(request.cases)
            analysis["summary"] += f" ({self.improvements} more rounds)"
            return {"verdict": "improve", "criticism": "too short", "analysis": analysis}
        return {"verdict": "keep", "criticism": "it fits the cases"}


def _result(text: str) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def _analysis(cases: Sequence[ShownCase]) -> dict[str, Any]:
    groups: dict[tuple[str, str], list[ShownCase]] = {}
    for case in cases:
        if case.cause != _HOPELESS:
            groups.setdefault((_matter(case), _root_cause(case)), []).append(case)
    ranked = sorted(groups.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    patterns = [
        {
            "name": matter,
            "cases": [case.number for case in group],
            "root_cause": cause,
            "explanation": f"{len(group)} cases ask for {matter}",
            "recommendation": f"write down {matter}: {', '.join(_words(group))}",
        }
        for (matter, cause), group in ranked
    ]
    return {"summary": f"{len(cases)} cases, {len(patterns)} patterns", "patterns": patterns}


def _proposal(request: DesignerRequest) -> dict[str, Any]:
    known = {skill.name for skill in request.skills}
    avoided = {*request.rejected, *request.tried}
    by_number = {case.number: case for case in request.cases}
    changes: list[dict[str, str]] = []
    seen: set[str] = set()
    for pattern in request.patterns:
        group = [by_number[number] for number in pattern.cases if number in by_number]
        name = _skill_name(pattern)
        while name in avoided:
            name += "_again"
        if not group or name in seen:
            continue
        seen.add(name)
        if name in known:
            changes.append(_skill("refine_existing", name, pattern, group))
        elif not request.refine_only:
            changes.append(_skill("add_new", name, pattern, group))
    return {"summary": "what the cases ask for", "changes": changes[: request.max_changes]}


def _skill(
    action: str, name: str, pattern: ShownPattern, group: Sequence[ShownCase]
) -> dict[str, str]:
    words = ", ".join(_words(group))
    instructions = (
        f"Purpose\nKeep {pattern.name} that are asked for later, such as about {words}.\n\n"
        f"When to use\nThe text speaks of {words}.\n\n"
        "How to apply\nWrite one full sentence for each, with who, what, where and when.\n\n"
        "Constraints\nOnly what the text says.\n\n"
        "Action\nINSERT"
    )
    change = {
        "action": action,
        "name": name,
        "description": f"Writes down {pattern.name} that concern {words}, one fact at a time.",
        "instructions": instructions,
        "reason": f"{len(group)} cases: {pattern.root_cause}",
    }
    return {**change, "action_type": "insert"} if action == "add_new" else change


def _skill_name(pattern: ShownPattern) -> str:
    return f"{pattern.name.replace(' ', '_')}_{pattern.root_cause}"


def _matter(case: ShownCase) -> str:
    if case.trajectory is not None:
        return "ways to solve tasks"
    if _TIMES.search(case.question):
        return "times of events"
    return "places" if _PLACES.search(case.question) else "facts"


def _root_cause(case: ShownCase) -> str:
    if case.cause in _STORAGE:
        return "storage"
    return "retrieval" if case.cause == "not_retrieved" else "memory_quality"


def _words(group: Sequence[ShownCase]) -> list[str]:
    """The most common lower-case content words of the questions: kinds of things, no names."""
    counts = Counter(
        word
        for case in group
        for word in dict.fromkeys(re.findall(r"\b[a-z]{4,}\b", case.question))
        if word not in STOP_WORDS
    )
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return ranked[:_MAX_WORDS] or ["anything else"]
