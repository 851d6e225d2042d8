"""A process that brings a bank to another version, and ends at once at a given write."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph_memskill.skills.versions import SkillVersions
from tests.forks import serve

KILLED = 77
"""Exit code of a process that ended so."""


def main(arguments: list[str]) -> None:
    """Activate a version, or roll back to the first, and end before a write.

    The arguments are the folder, the version or "rollback", and the number of writes before.
    """
    root, version, left = Path(arguments[0]), arguments[1], int(arguments[2])

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def before(*given: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                os._exit(KILLED)
            left -= 1
            return call(*given, **options)

        return before

    os.replace, os.fsync = dying(os.replace), dying(os.fsync)
    Path.unlink = dying(Path.unlink)  # type: ignore[method-assign]
    versions = SkillVersions(root / "skill_versions", root / "skills")
    if version == "rollback":
        versions.rollback("1")
    else:
        versions.activate(version)


if __name__ == "__main__":
    serve(main)
