"""Memories that say nothing: what should never have been stored (mem0#4573 counts such)."""

import re
import unicodedata

from langgraph_memskill.records import Span
from langgraph_memskill.writing.gate import is_small_talk

_RECALLED = re.compile(
    r"Below are notes from earlier conversations, the best match first"
    r"|</?memories>|<memory(?: [a-z]+=\"[^\"]*\")*>",
)
_PROMPT = re.compile(
    r"^\s*(?:ACTION:\s*(?:INSERT|UPDATE|DELETE|NOOP)\b|MEMORY_(?:ITEM|INDEX):|UPDATED_MEMORY:)"
    r"|^</?(?:skills|span)>\s*$|<skill name=|<span date="
    r"|You keep the long-term memory of an assistant up to date"
    r"|You answer a question from the memories of earlier conversations"
    r"|<\|(?:im_start|im_end|system|user|assistant|eot_id|start_header_id)\|>"
    r"|\[/?INST\]|<</?SYS>>",
    re.MULTILINE,
)
_PERSONA = re.compile(
    r"(?:system:\s*)?(?:you are|you're|i am|i'm|as) an? (?:very )?(?:helpful|friendly|ai|"
    r"large language|language|virtual|personal)[\w ,-]{0,40}\b(?:assistant|model|ai)\b",
    re.IGNORECASE,
)


def junk_reason(content: str) -> str | None:
    """Why a memory is junk.

    Args:
        content: Its text.

    Returns:
        The reason; None for everything that may mean something.
    """
    if not content.strip():
        return "it is blank"
    if not any(unicodedata.category(character)[0] in "LN" for character in content):
        return "it has neither letters nor digits"
    if _RECALLED.search(content):
        return "it is a block of recalled memories that was remembered again"
    if _PROMPT.search(content):
        return "it is a piece of a prompt or of a model's reply"
    if _PERSONA.match(content.strip()):
        return "it is a system prompt"
    if is_small_talk(Span(id="", index=0, text=content)):
        return "it is a greeting or a filler"
    return None
