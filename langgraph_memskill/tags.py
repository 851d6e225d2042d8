"""Keeps data inside the tagged sections of a prompt."""

import re


class TagGuard:
    r"""Makes a prompt's own tags inside data harmless: "</span>" becomes "<\/span>".

    A tag of ours inside a conversation or a memory gets a backslash behind its "<", so it can
    neither close nor open a section; all other text, markup included, stays as it is.
    """

    def __init__(self, *tags: str) -> None:
        """Guard these tags, in any case."""
        own = "|".join(tags)
        # Possessive quantifiers keep both linear on hostile runs of backslashes and blanks.
        self._open = re.compile(rf"<(\\*+)(?=[\s/]*+(?:{own})\b)", re.IGNORECASE)
        self._marked = re.compile(rf"<\\(\\*+)(?=[\s/]*+(?:{own})\b)", re.IGNORECASE)

    def neutralise(self, text: str) -> str:
        """Put one more backslash behind the "<" of every tag of ours; `restore` undoes it."""
        return self._open.sub(r"<\\\1", text)

    def restore(self, text: str) -> str:
        """Take away what `neutralise` put in, from the text or from a model's copy of it."""
        return self._marked.sub(r"<\1", text)
