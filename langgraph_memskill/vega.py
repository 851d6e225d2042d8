"""Vega-Lite charts on HTML pages that need no network: Altair writes them, the page holds Vega."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from langgraph_memskill.errors import missing_dependency

CONTENT_POLICY = (
    "default-src 'none'; img-src data:; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'"
)
"""Content security policy of such a page: it loads nothing. Vega makes functions of its formulas,
hence 'unsafe-eval'."""


def load_altair(extra: str, purpose: str) -> Any:
    """Import Altair.

    Args:
        extra: Our extra that brings it.
        purpose: What needs it, as the start of a sentence.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        import altair
    except ImportError as error:
        raise missing_dependency("altair", extra, purpose) from error
    return altair


def vega_script(extra: str, purpose: str) -> str:
    """Vega, Vega-Lite and Vega-Embed as one script (about 1 MB) that may stand inside of a page.

    Args:
        extra: Our extra that brings vl-convert, which carries them.
        purpose: What needs it, as the start of a sentence.

    Raises:
        MissingDependencyError: If vl-convert is not installed.
    """
    try:
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise missing_dependency("vl_convert", extra, purpose) from error
    return _bundle()


@cache
def _bundle() -> str:
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")


def script_json(value: Any) -> str:
    """JSON that may stand inside of a script: no text in it can end the script."""
    return json.dumps(value).replace("<", "\\u003c")


def write_page(text: str, page: Path) -> None:
    """Write a page, all at once.

    Args:
        text: Its HTML.
        page: The file; one that is there is replaced as a whole, missing folders are made.

    Raises:
        OSError: If it cannot be written.
    """
    partial = page.with_name(f".{page.name}.{uuid4().hex}.partial")
    page.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, page)
    finally:
        partial.unlink(missing_ok=True)
