"""Times as people type them."""

from datetime import datetime

from langgraph_memskill.errors import ConfigError


def past_time(text: str, now: datetime | None = None) -> datetime:
    """Read a time: ISO 8601, or words as "2 days ago"; without a zone it is the machine's.

    Args:
        text: What was typed.
        now: The present; None asks the clock.

    Raises:
        ConfigError: If it is no time.
    """
    try:
        found: datetime | None = datetime.fromisoformat(text.strip())
    except ValueError:
        found = _in_words(text, now)
    if found is None:
        raise ConfigError(
            f"{text!r} is no time: write 2026-05-01, 2026-05-01T12:30, or '2 days ago'"
        )
    return found if found.tzinfo else found.astimezone()


def _in_words(text: str, now: datetime | None) -> datetime | None:
    import dateparser

    settings = {"PREFER_DATES_FROM": "past", "RETURN_AS_TIMEZONE_AWARE": False}
    if now is not None:
        settings["RELATIVE_BASE"] = now.astimezone().replace(tzinfo=None)
    found: datetime | None = dateparser.parse(text, languages=["en"], settings=settings)
    return found
