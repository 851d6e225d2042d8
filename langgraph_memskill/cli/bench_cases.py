"""`memskill bench --hard-cases`: what a run failed at goes into the pool of a memory folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph_memskill.cli.options import check_exists, open_for_reading
from langgraph_memskill.cli.screen import Screen, counted, printable

if TYPE_CHECKING:
    from langgraph_memskill.benchmarks.run_log import RunLog
    from langgraph_memskill.benchmarks.running.run import BenchmarkRun


def check_place(folder: Path, benchmark: "BenchmarkRun", screen: Screen) -> None:
    """Refuse, before anything is called, what would have no place for its cases in the end.

    Raises:
        StoreError: If there is no memory in the folder.
        ConfigError: If no row writes memories with skills.
    """
    from langgraph_memskill.benchmarks.running.hard_cases import row_of_cases
    from langgraph_memskill.memory_folder import MemoryFolder
    from langgraph_memskill.skills.bank import SkillBank

    check_exists(folder)
    row_of_cases(benchmark.settings.rows)
    own = MemoryFolder(folder).skills
    if SkillBank.load(own).version != benchmark.bank.version:
        screen.note(
            f"The run's skills are not those of {printable(str(folder))}, whose hard cases they "
            f"give: take --skills {printable(str(own))} for its own."
        )
    if benchmark.data.log.split == "test":
        screen.note(
            "The hard cases are of the test split: skills that evolve from them cannot be "
            "compared on it."
        )


def keep_cases(folder: Path, log: "RunLog", cache: Path, screen: Screen) -> dict[str, Any]:
    """Put the failures of a run into the pool of a memory folder; done twice is done once.

    Args:
        folder: The memory folder.
        log: The run.
        cache: The folder of its memories.
        screen: Where to say what was kept.

    Returns:
        What was kept, for machines.

    Raises:
        EvolutionError: If they cannot be kept.
    """
    from langgraph_memskill.benchmarks.running.builds import BuildCache
    from langgraph_memskill.benchmarks.running.hard_cases import row_of_cases, run_cases

    found = run_cases(log, row_of_cases([row.name for row in log.rows]), BuildCache(cache))
    with open_for_reading(folder) as stored:
        # The same run may be shown again, which is not one failure more.
        known = {case.id for case in stored.hard_cases() if case.episode_id == log.id}
        stored.add_hard_cases(case for case in found.failed if case.id not in known)
        resolved = stored.resolve_hard_cases(found.answered)
    screen.show(
        f"{counted(len(found.failed), 'hard case')} of the row {found.row} in "
        f"{printable(str(folder))}, {resolved} answered since "
        f"(memskill evolve --folder {printable(str(folder))})"
    )
    return {"row": found.row, "failed": len(found.failed), "resolved": resolved}
