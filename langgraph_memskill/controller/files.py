"""Controllers on disk: `controller.safetensors` with the weights and `controller.json` beside it.

Nothing is ever unpickled. Importing this module does not load torch.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from langgraph_memskill.controller.selectors import (
    ControllerSelector,
    Selector,
    SimilaritySelector,
)
from langgraph_memskill.controller.state import FusionMode
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from langgraph_memskill.controller.policy import SkillPolicy

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
WEIGHTS_FILE = "controller.safetensors"
SETTINGS_FILE = "controller.json"

_HEADER_KEY = "memskill_controller"


class ControllerSettings(BaseModel):
    """Everything about a controller but its weights; the content of `controller.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: int = FORMAT_VERSION
    version: str
    """Hash of the weights and of what they were trained with: the same controller, the same id."""
    created_at: str
    """ISO time of the save (UTC)."""
    state_dim: int
    op_dim: int
    """Width of the skills' embeddings, which is the encoder's."""
    hidden_dim: int
    encoder: str
    """Name of the encoder whose embeddings the controller understands."""
    fusion: FusionMode = "mean"
    """How the memories' embeddings become one."""
    tau: float = 1.0
    """Temperature of the fusion "sim_weighted"."""
    k: int = 3
    """Skills a span that it was trained to pick."""
    notes: dict[str, JsonValue] = {}
    """Whatever the trainer wants to keep: data, seed, scores ..."""


class StoredController(NamedTuple):
    """A controller as it was saved."""

    policy: "SkillPolicy"
    settings: ControllerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerFiles:
    """The two files of a controller as they are, to be taken to another machine."""

    weights: bytes
    settings: bytes

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Take them from a folder.

        Raises:
            CheckpointError: If one is missing; what is in them is checked when they are loaded.
        """
        place = Path(folder)
        return cls(weights=_read(place / WEIGHTS_FILE), settings=_read(place / SETTINGS_FILE))

    def write(self, folder: str | Path) -> None:
        """Put them into a folder that is there."""
        (Path(folder) / WEIGHTS_FILE).write_bytes(self.weights)
        (Path(folder) / SETTINGS_FILE).write_bytes(self.settings)


def save_controller(
    folder: str | Path,
    policy: "SkillPolicy",
    *,
    encoder_name: str,
    fusion: FusionMode = "mean",
    tau: float = 1.0,
    k: int = 3,
    notes: Mapping[str, JsonValue] | None = None,
) -> ControllerSettings:
    """Save a controller; a crash leaves either the old one or the new one, never half of each.

    Args:
        folder: Where to; created if need be. Other files in it are left alone.
        policy: The network; saved as float32, from whatever device it is on.
        encoder_name: Name of the encoder that it was trained with.
        fusion: How the memories' embeddings become one.
        tau: Temperature of the fusion "sim_weighted".
        k: Skills a span that it was trained to pick.
        notes: Anything else to keep, as JSON values.

    Returns:
        What was written into `controller.json`, the version included.

    Raises:
        ConfigError: If a setting is of the wrong kind, or `notes` are not JSON values.
        CheckpointError: If the files cannot be written.
    """
    from safetensors.torch import save

    tensors = _saved_tensors(policy)
    try:
        settings = ControllerSettings(
            version="",
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            state_dim=policy.state_dim,
            op_dim=policy.skill_dim,
            hidden_dim=policy.hidden_dim,
            encoder=encoder_name,
            fusion=fusion,
            tau=tau,
            k=k,
            notes=dict(notes or {}),
        )
    except ValidationError as error:
        raise ConfigError(f"these controller settings cannot be saved: {error}") from error
    settings = settings.model_copy(update={"version": _content_hash(tensors, settings)})
    text = settings.model_dump_json(indent=2)
    # The weights carry a copy of the settings, so that they are complete by themselves if the
    # process dies before the second file is in place.
    weights = save(tensors, metadata={_HEADER_KEY: text})
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        _replace(target / WEIGHTS_FILE, weights)
        _replace(target / SETTINGS_FILE, text.encode() + b"\n")
    except OSError as error:
        raise CheckpointError(
            f"the controller cannot be saved in {str(folder)!r}: {error}"
        ) from error
    return settings


def read_controller(folder: str | Path) -> StoredController:
    """Read a controller without an encoder to use it with, to go on training it for example.

    Args:
        folder: What `save_controller` wrote to.

    Returns:
        The network, float32 on the CPU, and its settings.

    Raises:
        CheckpointError: If a file is missing, damaged or from a newer version of this package, a
            tensor is missing, unknown or of a wrong shape, or the two files do not belong together.
    """
    from langgraph_memskill.controller.policy import SkillPolicy

    settings_path, weights_path = Path(folder) / SETTINGS_FILE, Path(folder) / WEIGHTS_FILE
    settings = _parse_settings(_read(settings_path).decode("utf-8", "replace"), settings_path)
    tensors, header = _read_weights(weights_path)
    try:
        policy = SkillPolicy.from_tensors(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{weights_path} cannot be used: {error}") from error
    if _content_hash(policy.state_dict(), settings) != settings.version:
        # Either the last save was cut off between its two files, or one of them is damaged.
        settings = _parse_settings(header, weights_path) if header else settings
        if _content_hash(policy.state_dict(), settings) != settings.version:
            raise CheckpointError(
                f"{weights_path} is damaged, or does not belong to {SETTINGS_FILE}: its content is "
                "not what was saved. Restore both files from one save"
            )
        logger.warning("%s is of another save than %s; it is not used", settings_path, weights_path)
    found = (policy.state_dim, policy.skill_dim, policy.hidden_dim)
    stated = (settings.state_dim, settings.op_dim, settings.hidden_dim)
    if found != stated:
        raise CheckpointError(
            f"{weights_path} holds a network of state, skill and hidden width {found}, "
            f"but {SETTINGS_FILE} says {stated}: restore both files from one save"
        )
    return StoredController(policy, settings)


def copy_controller(source: str | Path, target: str | Path) -> ControllerSettings:
    """Copy a controller, byte for byte; a crash leaves the target's old one or the new one.

    Args:
        source: What `save_controller` wrote to.
        target: Where to; created if need be.

    Raises:
        CheckpointError: If the source is damaged, or the target cannot be written.
    """
    settings = read_controller(source).settings
    try:
        Path(target).mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS_FILE, SETTINGS_FILE):
            _replace(Path(target) / name, (Path(source) / name).read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"the controller cannot be copied to {str(target)!r}: {error}"
        ) from error
    return settings


def load_controller(
    folder: str | Path,
    *,
    encoder: TextEncoder,
    any_encoder: bool = False,
    explore: bool = False,
) -> ControllerSelector:
    """Load a controller for use: it picks the K best skills, unless it is to explore.

    Args:
        folder: What `save_controller` wrote to.
        encoder: The encoder of the spans and memories, with which the controller was trained.
        any_encoder: Take an encoder of another name, if its vectors are known to be the same.
        explore: Draw the skills with their probabilities, for traces to learn from.

    Returns:
        The selector.

    Raises:
        CheckpointError: Like `read_controller`; and if the controller was made for another encoder.
    """
    policy, settings = read_controller(folder)
    if settings.encoder != encoder.name and not any_encoder:
        raise CheckpointError(
            f"the controller in {str(folder)!r} was trained with the encoder {settings.encoder!r}, "
            f"not with {encoder.name!r}: pass encoder={settings.encoder!r}, or, if both give the "
            "same vectors under two names, load_controller(..., any_encoder=True)"
        )
    if (policy.state_dim, policy.skill_dim) != (2 * encoder.dim, encoder.dim):
        raise CheckpointError(
            f"the controller in {str(folder)!r} takes embeddings of width {policy.skill_dim} and "
            f"states of width {policy.state_dim}; the encoder {encoder.name!r} has width "
            f"{encoder.dim}"
        )
    policy.eval()
    return ControllerSelector(
        policy,
        encoder,
        sample=explore,
        seed=None,
        fusion=settings.fusion,
        tau=settings.tau,
        version=settings.version,
    )


def make_selector(
    controller: Selector | str | Path | None, encoder: TextEncoder, *, explore: bool = False
) -> Selector:
    """Make a selector of what a user passes as `controller=`.

    Args:
        controller: A selector, the folder of a controller, or None to rank by similarity.
        encoder: The encoder of the spans and memories.
        explore: As for `load_controller`; a selector is taken as it is.

    Raises:
        CheckpointError: If the folder's controller is damaged or does not fit.
    """
    if controller is None:
        return SimilaritySelector(encoder)
    if isinstance(controller, str | Path):
        return load_controller(controller, encoder=encoder, explore=explore)
    return controller


def version_of(
    policy: "SkillPolicy", *, encoder_name: str, fusion: FusionMode = "mean", tau: float = 1.0
) -> str:
    """The version that `save_controller` would give a policy, without saving it.

    Args:
        policy: The network, on any device.
        encoder_name: Name of the encoder that it is used with.
        fusion: How the memories' embeddings become one.
        tau: Temperature of the fusion "sim_weighted".
    """
    return _hash(_saved_tensors(policy), [encoder_name, fusion, tau])


def _saved_tensors(policy: "SkillPolicy") -> dict[str, "Tensor"]:
    return {
        name: tensor.detach().to("cpu").float().contiguous()
        for name, tensor in policy.state_dict().items()
    }


def _content_hash(tensors: Mapping[str, "Tensor"], settings: ControllerSettings) -> str:
    return _hash(tensors, [settings.encoder, settings.fusion, settings.tau])


def _hash(tensors: Mapping[str, "Tensor"], used: list[object]) -> str:
    """Sixteen hex digits over float32 weights and what decides how they are used."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    digest.update(json.dumps(used).encode())
    return digest.hexdigest()[:16]


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it has either its old content or all of the new."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_weights(path: Path) -> tuple[dict[str, "Tensor"], str]:
    """The tensors, and the settings text in the file's header ("" if there is none)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_HEADER_KEY, "")
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except OSError as error:
        raise _unreadable(path, error) from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or is cut off: {error}. Restore it from a copy, or "
            "train again"
        ) from error


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path} is missing or cannot be read ({error}): a controller is a folder with "
        f"{WEIGHTS_FILE} and {SETTINGS_FILE}"
    )


def _parse_settings(text: str, path: Path) -> ControllerSettings:
    try:
        document = json.loads(text)
        found = document.get("format_version") if isinstance(document, dict) else None
        if isinstance(found, int) and found > FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has format version {found}; this package reads up to {FORMAT_VERSION}: "
                "upgrade langgraph-memskill"
            )
        return ControllerSettings.model_validate(document)
    except (json.JSONDecodeError, ValidationError) as error:
        raise CheckpointError(f"{path} holds no controller settings: {error}") from error
