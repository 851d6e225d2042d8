"""What the `memskill train` commands ask of the thing that is trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langgraph_memskill.cli.screen import Screen
    from langgraph_memskill.embedding import TextEncoder
    from langgraph_memskill.trainers.episode_kinds import AnyEpisodeKind
    from langgraph_memskill.trainers.rollout_site import KindRecipe
    from langgraph_memskill.trainers.run_folder import RunManifest

EXTRACTIVE = "extractive"


class NewRun(Protocol):
    """A run that is to be started."""

    def manifest(self) -> "RunManifest":
        """What the run is started with; nothing is written.

        Raises:
            MemSkillError: If the settings or the data do not fit.
        """

    def prepare(self, folder: Path, manifest: "RunManifest", screen: "Screen") -> "RunManifest":
        """Put what the run needs into its folder, which this process alone works in.

        A process that is killed here has not started the run: the same command goes on.

        Returns:
            The manifest to write.
        """


def open_episodes(
    folder: Path, manifest: "RunManifest", model: "BaseChatModel", encoder: "TextEncoder"
) -> "AnyEpisodeKind":
    """The episodes of a run, in any process that has its folder and its data.

    Args:
        folder: Of the run.
        manifest: What it was started with.
        model: The run's model.
        encoder: The run's encoder.

    Raises:
        ConfigError: If the data is not what the run was started with.
        DataError: If it cannot be read.
    """
    match manifest.task:
        case "locomo":
            from langgraph_memskill.cli.train_locomo import conversation_episodes

            return conversation_episodes(manifest, model)
        case "alfworld":
            from langgraph_memskill.cli.train_alfworld import game_episodes

            return game_episodes(folder, manifest)
    raise ConfigError(f"{folder} holds a run over {manifest.task!r}, which this package knows not")


def episode_recipe(manifest: "RunManifest") -> "KindRecipe":
    """How workers of a cluster make the episodes of a run.

    Args:
        manifest: What the run was started with.

    Raises:
        ConfigError: If its task is unknown.
    """
    match manifest.task:
        case "locomo":
            from langgraph_memskill.cli.train_locomo import conversation_recipe

            return conversation_recipe(manifest)
        case "alfworld":
            from langgraph_memskill.cli.train_alfworld import game_recipe

            return game_recipe(manifest)
    raise ConfigError(f"a run over {manifest.task!r} is known to no part of this package")
