"""From what a model replied to typed actions; no model is called here."""

from langgraph_memskill.parsing.replies import (
    ActionItem,
    ActionReply,
    actions_from_data,
    actions_from_reply,
    parse_actions,
)

__all__ = ["ActionItem", "ActionReply", "actions_from_data", "actions_from_reply", "parse_actions"]
