"""The options that all `memskill train` commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from langgraph_memskill.cli.spreading import ExecutorName
from langgraph_memskill.cli.train_evolution import EvolutionWishes
from langgraph_memskill.errors import ConfigError

OutOption = Annotated[Path, typer.Option(help="The folder of the run.")]
ResumeOption = Annotated[
    Path | None, typer.Option(help="Go on with the run in this folder, where it stopped.")
]
ConfigOption = Annotated[
    Path | None, typer.Option(help="TOML file with settings (see TrainConfig).")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as episodes=8 or ppo.learning_rate=3e-4."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        help="Where updates are computed: 'cpu', 'cuda' ...; with --resume, too.",
        show_default="cpu, or as the run was started",
    ),
]
EvolveOption = Annotated[
    bool, typer.Option("--evolve", help="Let a designer change the skills after every stage.")
]
InstallOption = Annotated[
    Path | None,
    typer.Option(help="Memory folder that is to use the trained controller and skills."),
]
TakeOption = Annotated[
    Literal["best", "last"],
    typer.Option(help="Which controller to install: the run's best one, or its last."),
]
TensorboardOption = Annotated[bool, typer.Option(help="Write TensorBoard files, too.")]
WandbOption = Annotated[str | None, typer.Option(help="Project of Weights & Biases.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a user wants of a run, whatever it trains on.

    Raises:
        ConfigError: If options are given that mean nothing together.
    """

    out: Path
    resume: Path | None
    device: str | None
    wishes: EvolutionWishes
    install: Path | None
    take: Literal["best", "last"]
    tensorboard: bool
    wandb: str | None
    executor: ExecutorName = "local"
    ray_address: str | None = None
    ray_workers: int | None = None

    def __post_init__(self) -> None:
        """Check what goes together."""
        if self.take != "best" and self.install is None:
            raise ConfigError("--take says which controller --install takes: name a folder with it")

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.out if self.resume is None else self.resume
