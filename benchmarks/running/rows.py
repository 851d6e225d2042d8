"""The rows of a table, made from their names."""

from dataclasses import replace

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.benchmarks.metrics import JudgeScorer, within_depth
from langgraph_memskill.benchmarks.running.construction import Executor, MemSkillSystem
from langgraph_memskill.benchmarks.running.selectors import AllSkills, ChanceBySpan
from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.benchmarks.running.systems import (
    FullContext,
    NoMemory,
    RawChunks,
    System,
)
from langgraph_memskill.benchmarks.task import Scorer, Task
from langgraph_memskill.controller.selectors import Selector, SimilaritySelector
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.judging import Judge
from langgraph_memskill.settings import METHOD, Settings
from langgraph_memskill.skills.bank import SkillBank

_TITLES = {
    "random": "random skills",
    "all": "all skills",
    "similarity": "skills by similarity",
    "controller": "trained controller",
}


def construction_settings(settings: RunSettings) -> Settings:
    """How memories are built and searched."""
    base = Settings() if settings.product else METHOD
    return replace(
        base,
        skills_per_span=settings.skills_per_span,
        top_k=settings.top_k,
        span_workers=settings.span_workers,
        model_attempts=settings.attempts,
    )


def load_bank(task: Task, settings: RunSettings) -> SkillBank:
    """The skills: those of a folder, or the seeds with the task's packs.

    Raises:
        SkillError: If a file of the folder is broken.
    """
    if settings.skills is not None:
        return SkillBank.load(settings.skills)
    return SkillBank.seed(*task.packs)


def make_scorers(
    task: Task, settings: RunSettings, judge: BaseChatModel | None
) -> tuple[Scorer, ...]:
    """The task's scorers, and the judge behind them.

    Args:
        task: The benchmark.
        settings: How often the judge is asked.
        judge: Model that judges; None leaves it out.
    """
    scorers = within_depth(task.scorers, settings.top_k)
    if judge is None:
        return scorers
    return (*scorers, JudgeScorer(Judge(judge, attempts=settings.attempts)))


def make_systems(task: Task, settings: RunSettings, executor: Executor) -> list[System]:
    """Make the rows that the settings name, in the order of the names.

    Args:
        task: The benchmark.
        settings: Names, and what some rows need.
        executor: What the rows with skills share.

    Raises:
        CheckpointError: If the controller is damaged or does not fit the encoder.
        MissingDependencyError: If a row needs a package that is not installed.
        ConfigError: If the model cannot do what a row needs.
    """
    return [_system(name, task, settings, executor) for name in settings.rows]


def _system(name: str, task: Task, settings: RunSettings, executor: Executor) -> System:
    if name == "none":
        return NoMemory()
    if name == "full":
        return FullContext(settings.context_tokens)
    if name == "rag":
        return RawChunks(task.chunk_mode.value)
    if name == "langmem":
        from langgraph_memskill.benchmarks.running.langmem_row import LangMemSystem

        return LangMemSystem(executor)
    return skill_system(name, settings, executor)


def skill_system(name: str, settings: RunSettings, executor: Executor) -> MemSkillSystem:
    """Make one row whose memories are written with skills.

    Args:
        name: How skills are chosen: "random", "all", "similarity" or "controller".
        settings: Seed, and the controller's folder.
        executor: What the rows with skills share.

    Raises:
        CheckpointError: If the controller is damaged or does not fit the encoder.
        ConfigError: If there is no controller.
    """
    return MemSkillSystem(name, _TITLES[name], _selector(name, settings, executor), executor)


def _selector(name: str, settings: RunSettings, executor: Executor) -> Selector:
    if name == "random":
        return ChanceBySpan(settings.seed)
    if name == "all":
        return AllSkills()
    if name == "similarity":
        return SimilaritySelector(executor.encoder)
    if settings.controller is None:
        raise ConfigError("the row 'controller' needs the folder of a trained controller")
    from langgraph_memskill.controller.files import load_controller

    return load_controller(settings.controller, encoder=executor.encoder)
