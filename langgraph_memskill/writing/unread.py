"""How spans are marked that no model has read."""

GATED = "gate"
"""`Selection.selector` of a span that was passed over: there is nothing worth storing in it."""
UNPAID = "budget"
"""`Selection.selector` of a span that was not read because a budget is used up; the reason why it
waits for `retry_failed()` begins with this word, too."""
