"""The error tree.

```
MemSkillError
├── ConfigError (ValueError)              a setting or argument is out of range
│   └── NamespaceError                    a namespace cannot be resolved, or a label is unusable
├── MissingDependencyError (ImportError)  an optional package is missing; names the pip line
├── SkillError (ValueError)               a skill or SKILL.md file breaks a rule
├── ParseError (ValueError)               a model's reply could not be read as memory actions
├── DataError (ValueError)                a data file is broken or not in the expected format
├── StoreError                            the store could not be opened, read or written
│   ├── EmbeddingMismatchError            the store was made with another embedding model or width
│   ├── MemoryNotFoundError (LookupError) no memory has this id
│   ├── ConflictError                     a compare-and-set lost: somebody else wrote in between
│   ├── UndoError                         a change cannot be undone; names the change in the way
│   └── ChangeLogError                    the change log cannot be opened, read or written
├── TraceError                            traces cannot be read or written, or do not fit
├── CheckpointError                       controller files are missing, damaged or of another shape
├── TrainingError                         a training run cannot go on
├── EvolutionError                        skills cannot evolve, or an evolution cannot go on
├── BenchmarkError                        a benchmark run cannot go on
├── ClusterError                          a Ray cluster cannot be reached or used
├── WorkerLostError                       the same work was lost with several workers
├── GameError                             an ALFWorld game cannot be played
│   ├── GameLoadError                     the engine cannot load it
│   └── EngineStoppedError                its engine process died, or was ended because it was stuck
└── ModelCallError                        a chat model or encoder could not be loaded or called
```

Every message names the value that was seen and says what to do about it.
"""


class MemSkillError(Exception):
    """Base of every error that langgraph-memskill raises on purpose."""


class ConfigError(MemSkillError, ValueError):
    """A setting or argument is out of range, of the wrong kind, or contradicts another."""


class NamespaceError(ConfigError):
    """A namespace template cannot be resolved, or one of its labels cannot be used."""


class MissingDependencyError(MemSkillError, ImportError):
    """An optional package is not installed; the message holds the line to install it."""


class SkillError(MemSkillError, ValueError):
    """A skill, a skill bank change or a SKILL.md file breaks a rule."""


class ParseError(MemSkillError, ValueError):
    """A model's reply could not be read as memory actions."""


class DataError(MemSkillError, ValueError):
    """A data file is damaged or does not have the expected format."""


class StoreError(MemSkillError):
    """The store could not be opened, read or written."""


class EmbeddingMismatchError(StoreError):
    """The store was made with another embedding model, width or normalisation."""


class MemoryNotFoundError(StoreError, LookupError):
    """No memory with this id exists in this namespace."""


class ConflictError(StoreError):
    """A compare-and-set found another version than the one that it was to replace."""


class UndoError(StoreError):
    """A change cannot be undone; the message says why and names the change in the way."""


class ChangeLogError(StoreError):
    """The change log cannot be opened, read or written."""


class TraceError(MemSkillError):
    """Traces cannot be read or written, or do not fit what is to be done with them."""


class CheckpointError(MemSkillError):
    """Controller files are missing, damaged, or do not fit the encoder in use."""


class TrainingError(MemSkillError):
    """A training run cannot go on: its numbers are out of range, or too many episodes fail."""


class EvolutionError(MemSkillError):
    """Skills cannot evolve: a pool, a pending evolution or a decision about it cannot be used."""


class BenchmarkError(MemSkillError):
    """A benchmark run cannot go on: more of its questions or spans fail than may fail."""


class ClusterError(MemSkillError):
    """A Ray cluster cannot be started, reached or used, or a worker there cannot be set up."""


class WorkerLostError(MemSkillError):
    """Several workers died one after the other while they did the same piece of work."""


class GameError(MemSkillError):
    """An ALFWorld game cannot be played, or something was asked that its state does not allow."""


class GameLoadError(GameError):
    """The engine cannot load a game: nothing of it was played."""


class EngineStoppedError(GameError):
    """The process of an engine died, or was ended because it did not answer in time."""


class ModelCallError(MemSkillError):
    """A chat model or text encoder could not be found, loaded or called."""


def missing_dependency(package: str, extra: str, purpose: str) -> MissingDependencyError:
    """Build the error for an optional package that is not installed.

    Args:
        package: Import name of what is missing.
        extra: Our extra that brings it.
        purpose: What needs it, as the start of a sentence ("Running a GGUF file").

    Returns:
        The error, ready to raise; its message holds the install line.
    """
    return MissingDependencyError(
        f"{purpose} needs the package {package!r}, which is not installed. "
        f"Install it with: pip install 'langgraph-memskill[{extra}]'"
    )
