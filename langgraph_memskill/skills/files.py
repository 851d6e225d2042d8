"""One SKILL.md: text in and out, with every problem named by file and field.

The layout is the common one for agent skills, so that people and other agents can read and edit
it: a folder named after the skill, in it SKILL.md with YAML front matter (`name`, `description`,
`metadata`) and the instructions as Markdown below. Front matter is data from outside: it is read
with safe YAML only, without aliases, tags or repeated keys. Keys that we do not know stay in the
file.
"""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from frontmatter import Post
from frontmatter import dumps as dump_post
from frontmatter.default_handlers import YAMLHandler

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import Skill
from langgraph_memskill.skills.fields import read_fields, skill_fields
from langgraph_memskill.skills.rules import Problem, clean_text, raise_problems, show

SKILL_FILE = "SKILL.md"
MAX_FILE_BYTES = 1024 * 1024
MAX_FRONT_MATTER_CHARS = 32 * 1024

_LINE_WIDTH = 100
_METADATA_FIELDS = ("action_type", "origin", "created_at", "modified_at", "statistics")


class SkillText(NamedTuple):
    """What `parse_skill` made of a text."""

    skill: Skill | None
    """The skill; None if there are problems."""
    problems: tuple[Problem, ...]
    front_matter: Mapping[str, object]
    """The front matter as it was read, unknown keys included; empty if it could not be read."""


class _PlainYaml(yaml.SafeLoader):
    """Safe YAML without the parts that a few fields never need and that a hostile file abuses."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases (they can blow up to any size) and tags (they choose constructors)."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it bare
        aliased = isinstance(event, yaml.AliasEvent)
        marked = isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and (
            event.anchor is not None or event.tag is not None
        )
        if aliased or marked:
            problem = "anchors, aliases and tags are not allowed in front matter"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """Refuse a key that is given twice; plain PyYAML silently takes the last one."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {show(key.value)} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


class _FrontMatter(YAMLHandler):
    """The front matter format: python-frontmatter's, with the stricter YAML."""

    def load(self, fm: str, **kwargs: object) -> Any:
        """Parse the text between the two lines of dashes; the result may be of any type."""
        return super().load(fm, Loader=_PlainYaml)


_HANDLER = _FrontMatter()


def parse_skill(text: str, *, folder_name: str | None = None) -> SkillText:
    """Read a skill from the text of a SKILL.md.

    Args:
        text: The whole file.
        folder_name: Name of the folder that the file lies in, which must be the skill's name;
            None leaves that check out.

    Returns:
        The skill or its problems (fields as they are called in the file, such as
        "metadata.action_type"), and the front matter.
    """
    try:
        front_matter, body = _split(text)
    except SkillError as error:
        return SkillText(None, (Problem("front matter", str(error)),), {})
    metadata = front_matter.get("metadata", {})
    if not isinstance(metadata, Mapping):
        problem = Problem("metadata", f"must be a mapping, not {show(metadata)}")
        return SkillText(None, (problem,), front_matter)
    fields = {field: metadata[field] for field in _METADATA_FIELDS if field in metadata}
    fields |= {field: front_matter.get(field) for field in ("name", "description")}
    skill, found = read_fields({**fields, "instructions": body})
    problems = [_in_file(problem) for problem in found]
    if skill is not None and folder_name is not None and skill.name != folder_name:
        message = f"is {skill.name!r}, but the folder is called {folder_name!r}; make them equal"
        problems.append(Problem("name", message))
    return SkillText(None if problems else skill, tuple(problems), front_matter)


def format_skill(skill: Skill, *, keep: Mapping[str, object] | None = None) -> str:
    """Write a skill as the text of a SKILL.md; the same skill always gives the same text.

    Args:
        skill: A valid skill.
        keep: Front matter of the file that the text will replace; its unknown keys stay.

    Returns:
        The text, ending with one line break.

    Raises:
        SkillError: A value in `keep` cannot be written (a number of thousands of digits).
    """
    fields = skill_fields(skill)
    ours: dict[str, object] = {
        "name": fields["name"],
        "description": fields["description"],
        "metadata": {field: fields[field] for field in _METADATA_FIELDS},
    }
    post = Post(skill.instructions, handler=_HANDLER)
    # Not as keyword arguments: an unknown key may be called "content".
    post.metadata = _merged(ours, keep or {})
    try:
        text = dump_post(post, sort_keys=False, width=_LINE_WIDTH, default_flow_style=None)
    except ValueError as error:
        raise SkillError(
            f"the front matter of skill {skill.name!r} cannot be kept: {error}"
        ) from error
    return text + "\n"


def read_skill(path: str | Path) -> Skill:
    """Read one skill.

    Args:
        path: The SKILL.md, or the folder that it lies in.

    Returns:
        The skill.

    Raises:
        SkillError: The file cannot be read, or breaks a rule; the message names file and fields.
    """
    file = Path(path) / SKILL_FILE if Path(path).is_dir() else Path(path)
    reading = read_skill_file(file)
    raise_problems(reading.problems, of=str(file))
    return cast(Skill, reading.skill)  # there is one, as there are no problems


def read_skill_file(file: Path) -> SkillText:
    """Read a SKILL.md and return its problems instead of raising them.

    Args:
        file: The SKILL.md; the folder that it lies in must have the skill's name.

    Returns:
        As `parse_skill`; a file that cannot be read has one problem, in the field "file".
    """
    try:
        text = _read_text(file)
    except SkillError as error:
        return SkillText(None, (Problem("file", str(error)),), {})
    return parse_skill(text, folder_name=file.absolute().parent.name)


def write_skill(folder: str | Path, skill: Skill) -> Path:
    """Write one skill below a folder, all or nothing.

    Args:
        folder: The folder that holds a folder for each skill; it is made if it does not exist.
        skill: A valid skill.

    Returns:
        Path of the SKILL.md.

    Raises:
        SkillError: The file cannot be written, or the present one is broken and would be lost.
    """
    file = Path(folder) / skill.name / SKILL_FILE
    keep: Mapping[str, object] = {}
    if file.exists():
        present = read_skill_file(file)
        raise_problems(present.problems, of=f"{file} is broken, so it is not replaced")
        keep = present.front_matter
    write_if_changed(file, format_skill(skill, keep=keep))
    return file


def write_if_changed(file: Path, text: str) -> None:
    """Write a text file so that readers see the old or the new one, never a part.

    Args:
        file: What to write; its folder is made if it does not exist.
        text: The content.

    Raises:
        SkillError: The file system refuses; the old file is then untouched.
    """
    content = text.encode()
    try:
        if file.exists() and file.read_bytes() == content:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SkillError(f"{file} cannot be written: {error}") from error


def _read_text(file: Path) -> str:
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise SkillError(f"has {size} bytes, at most {MAX_FILE_BYTES} are read")
        # "utf-8-sig" also takes the mark that some Windows editors put at the start.
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SkillError(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SkillError(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _split(text: str) -> tuple[dict[str, object], str]:
    """Cut a text into front matter and body; any error is a SkillError without the file's name."""
    text = clean_text(text.removeprefix("\ufeff"))
    if not _HANDLER.detect(text):
        raise SkillError(
            'is missing: the file must start with a line "---", then name and description'
        )
    try:
        head, body = _HANDLER.split(text)
    except ValueError as error:
        raise SkillError('has no end: a second line "---" must close it') from error
    if len(head) > MAX_FRONT_MATTER_CHARS:
        raise SkillError(f"has {len(head)} characters, at most {MAX_FRONT_MATTER_CHARS} are read")
    try:
        values = _HANDLER.load(head)
    except yaml.MarkedYAMLError as error:
        # The mark counts from 0 within the front matter, which starts with the rest of line 1.
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise SkillError(f"is not valid YAML: {error.problem}{line}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: an impossible date such as 2024-02-31; RecursionError: thousands of brackets.
        raise SkillError(f"is not valid YAML: {show(str(error))}") from error
    if not isinstance(values, dict):
        raise SkillError(f"must hold fields such as name and description, not {show(values)}")
    return {str(key): value for key, value in values.items()}, body


def _in_file(problem: Problem) -> Problem:
    is_metadata = problem.field.split(".")[0] in _METADATA_FIELDS
    return Problem(f"metadata.{problem.field}", problem.message) if is_metadata else problem


def _merged(ours: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, object]:
    """Our values first and in our order, then what only they have."""
    merged = dict(ours)
    for key, value in theirs.items():
        own = ours.get(key)
        if isinstance(own, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(own, value)
        elif key not in ours:
            merged[key] = value
    return merged
