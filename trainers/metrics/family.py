"""The family tree of a run's skills, for its page: banks with rewards, skills with usage."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from langgraph_memskill.skills.version_records import SkillVersion
from langgraph_memskill.skills.versions import VERSIONS_FOLDER, SkillVersions
from langgraph_memskill.trainers.metrics.names import skill_usage
from langgraph_memskill.trainers.metrics.reading import MetricHistory

_STEP, _LANE, _MARGIN, _RADIUS = 120, 96, 60, 13
_SPARK_WIDTH, _SPARK_HEIGHT = 160, 24
_MAX_POINTS = 200
_KEPT, _DROPPED, _EDGE = "#2a6fb0", "#c9c9c9", "#999999"


def run_versions(run: Path) -> list[SkillVersion]:
    """The versions of a run's skills; none if they did not evolve.

    Args:
        run: The run's folder.

    Raises:
        SkillError: If one of them cannot be read.
    """
    folder = run / "evolution"
    if not (folder / VERSIONS_FOLDER).is_dir():
        return []
    return SkillVersions(folder / VERSIONS_FOLDER, folder / "skills").log()


def family_section(versions: Sequence[SkillVersion], history: MetricHistory) -> str:
    """Draw the versions as a tree, and list the skills with rewards and usage over time.

    Args:
        versions: Every stage's bank, in the order in which they were recorded.
        history: Of the same run.

    Returns:
        HTML that runs nothing and loads nothing; "" without versions.
    """
    if not versions:
        return ""
    rows = "\n".join(_skill_row(name, versions, history) for name in _names(versions))
    return (
        "<h2>Family of the skill banks</h2>\n"
        "<p>A bank a stage with its reward, from the best bank before it; grey ones were rolled "
        "back. Point at one to see what changed.</p>\n"
        f"{_tree(versions)}\n"
        "<table>\n<tr><th>skill</th><th>came with</th>"
        '<th class="number">stages</th><th class="number">mean reward</th>'
        '<th class="number">usage</th><th>usage over time</th></tr>\n'
        f"{rows}\n</table>"
    )


def _tree(versions: Sequence[SkillVersion]) -> str:
    kept = _kept(versions)
    places = {
        version.id: (
            _MARGIN + _STEP * column,
            _MARGIN if version.id in kept else _MARGIN + _LANE,
        )
        for column, version in enumerate(versions)
    }
    by_id = {version.id: version for version in versions}
    edges = [
        _edge(places[version.parent], places[version.id])
        for version in versions
        if version.parent in places
    ]
    nodes = [
        _node(version, by_id.get(version.parent or ""), places[version.id], version.id in kept)
        for version in versions
    ]
    width = 2 * _MARGIN + _STEP * (len(versions) - 1)
    height = 2 * _MARGIN + _LANE
    return (
        f'<div style="overflow-x:auto"><svg width="{width}" height="{height}" role="img" '
        f'font-size="11" text-anchor="middle">{"".join(edges)}{"".join(nodes)}</svg></div>'
    )


def _kept(versions: Sequence[SkillVersion]) -> set[str]:
    """The best version and those that it comes from."""
    by_id = {version.id: version for version in versions}
    kept: set[str] = set()
    at: SkillVersion | None = _best(versions)
    while at is not None:
        kept.add(at.id)
        at = by_id.get(at.parent or "")
    return kept


def _best(versions: Sequence[SkillVersion]) -> SkillVersion:
    scored = [version for version in versions if version.note.reward is not None]
    return max(scored, key=lambda version: version.note.reward or 0.0, default=versions[0])


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = start, end
    bend = (x1 + x2) // 2
    return (
        f'<path d="M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}" fill="none" '
        f'stroke="{_EDGE}" stroke-width="1.5"/>'
    )


def _node(
    version: SkillVersion, parent: SkillVersion | None, place: tuple[int, int], is_kept: bool
) -> str:
    x, y = place
    reward = "" if version.note.reward is None else f"{version.note.reward:.3f}"
    stage = "" if version.note.stage is None else f"stage {version.note.stage + 1}"
    told = html.escape(f"v{version.number}: {version.note.reason}\n{_change(version, parent)}")
    colour, ink = (_KEPT, "#ffffff") if is_kept else (_DROPPED, "#222222")
    return (
        f'<g><title>{told}</title><circle cx="{x}" cy="{y}" r="{_RADIUS}" fill="{colour}"/>'
        f'<text x="{x}" y="{y + 4}" fill="{ink}">v{version.number}</text>'
        f'<text x="{x}" y="{y - _RADIUS - 6}">{stage}</text>'
        f'<text x="{x}" y="{y + _RADIUS + 14}" font-weight="bold">{reward}</text></g>'
    )


def _change(version: SkillVersion, parent: SkillVersion | None) -> str:
    if parent is None:
        return f"{len(version.skills)} skills"
    added = [f"+{name}" for name in version.skills if name not in parent.skills]
    removed = [f"-{name}" for name in parent.skills if name not in version.skills]
    if added or removed:
        return " ".join([*added, *removed])
    return "the same skills" if version.bank_version == parent.bank_version else "refined skills"


def _names(versions: Sequence[SkillVersion]) -> list[str]:
    """All skills there ever were, those that came last first."""
    born: dict[str, int] = {}
    for version in versions:
        for name in version.skills:
            born.setdefault(name, version.number)
    return sorted(born, key=lambda name: (-born[name], name))


def _skill_row(name: str, versions: Sequence[SkillVersion], history: MetricHistory) -> str:
    having = [version for version in versions if name in version.skills]
    rewards = [v.note.reward for v in having if v.note.reward is not None]
    mean = f"{sum(rewards) / len(rewards):.3f}" if rewards else ""
    points = history.series.get(skill_usage(name), [])
    usage = f"{sum(value for _, value in points) / len(points):.3f}" if points else ""
    gone = "" if name in _best(versions).skills else " (gone)"
    return (
        f"<tr><td>{html.escape(name)}{gone}</td><td>v{having[0].number}, "
        f"{html.escape(str(having[0].note.author))}</td>"
        f'<td class="number">{len(having)}</td><td class="number">{mean}</td>'
        f'<td class="number">{usage}</td><td>{_spark(dict(points), history.steps)}</td></tr>'
    )


def _spark(values: Mapping[int, float], steps: Sequence[int]) -> str:
    """A small curve; where the skill was not in the bank there is none."""
    top = max(values.values(), default=0.0)
    if not values or top <= 0:
        return ""
    width = max(1, len(steps) - 1)
    every = max(1, -(-len(steps) // _MAX_POINTS))
    lines: list[list[str]] = [[]]
    for column, step in enumerate(steps[::every]):
        if (value := values.get(step)) is None:
            lines.append([])
            continue
        x = column * every * (_SPARK_WIDTH - 2) / width + 1
        y = (_SPARK_HEIGHT - 2) * (1 - value / top) + 1
        lines[-1].append(f"{x:.1f},{y:.1f}")
    drawn = "".join(
        f'<polyline points="{" ".join(line)}" fill="none" stroke="{_KEPT}" stroke-width="1.3"/>'
        for line in lines
        if line
    )
    return f'<svg width="{_SPARK_WIDTH}" height="{_SPARK_HEIGHT}">{drawn}</svg>'
