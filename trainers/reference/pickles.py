"""Reads the `torch.save` files of the paper's code as plain data; nothing that they name is run.

Such a file is a zip archive with one pickle and the raw tensors. A pickle may name any function of
any module to be called. Three things keep that from happening: the pickle's instructions are read
first, without following them, and a name that is not on the short list below is refused; torch's
own unpickler (`weights_only=True`), which knows no other names either, builds the rest; and what
the list holds of NumPy and of the paper's code becomes inert records of this module.
"""

import pickletools
import re
import struct
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from threading import Lock
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.errors import CheckpointError

_NUMPY_MODULES = ("numpy._core.multiarray", "numpy.core.multiarray")  # NumPy 2, NumPy 1
_NUMBER_TYPE = re.compile(r"[fiu][1248]|b1")
_TORCH_NAMES = (
    "collections.OrderedDict",
    "_codecs.encode",
    "__builtin__.set",
    "builtins.set",
    "torch.Size",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *(
        f"torch.{kind}Storage"
        for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Byte", "Bool")
    ),
)
_NAMING = frozenset({"GLOBAL", "INST"})
_HIDDEN_NAMING = frozenset({"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})
_UNREADABLE = (
    UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)

_lock = Lock()  # torch keeps its list of allowed names for the whole process


class InertRecord:
    """An object of the paper's code: its fields, and nothing that it could do."""

    fields: Mapping[object, object] = MappingProxyType({})

    def __new__(cls, *_: object) -> "InertRecord":
        """Make an empty record; what the constructor was to be given is not looked at."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        self.fields = state if isinstance(state, dict) else {}


class InertType:
    """A NumPy element type, by its code."""

    _code: str
    _order: str

    def __new__(cls, code: object = "", *_: object) -> "InertType":
        """Make a type of numbers; a type of anything else is refused."""
        if not isinstance(code, str) or not _NUMBER_TYPE.fullmatch(code):
            raise ValueError(f"NumPy values of the type {code!r} are not read, only numbers")
        made = super().__new__(cls)
        made._code, made._order = code, "="
        return made

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"{order!r} is no byte order of NumPy's")
        self._order = order

    def read(self, raw: object) -> NDArray[Any]:
        """Read raw bytes as numbers of this type."""
        if not isinstance(raw, bytes):
            raise ValueError(f"NumPy values are stored as {type(raw).__name__}, not as bytes")
        return np.frombuffer(raw, np.dtype(self._order.replace("|", "=") + self._code)).copy()


class InertArray:
    """A NumPy array of numbers."""

    values: NDArray[Any] = np.empty(0)

    def __new__(cls, *_: object) -> "InertArray":
        """Make an empty array; the state that follows fills it."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], InertType):
            raise ValueError("a NumPy array is not stored in NumPy's own form")
        _, shape, element_type, is_fortran, raw = state
        self.values = element_type.read(raw).reshape(shape, order="F" if is_fortran else "C")


def _make_array(*_: object) -> InertArray:
    return InertArray()


def _read_scalar(element_type: object, raw: object = None) -> object:
    if not isinstance(element_type, InertType):
        raise ValueError("a NumPy number is not stored in NumPy's own form")
    return element_type.read(raw)[0].item()


_STAND_INS: dict[str, Any] = {
    "src.operation_bank.Operation": InertRecord,
    "numpy.ndarray": InertArray,
    "numpy.dtype": InertType,
    **{f"{module}._reconstruct": _make_array for module in _NUMPY_MODULES},
    **{f"{module}.scalar": _read_scalar for module in _NUMPY_MODULES},
}
_KNOWN_NAMES = frozenset({*_TORCH_NAMES, *_STAND_INS})


def read_torch_file(path: str | Path) -> object:
    """Read a file that `torch.save` wrote, without running anything that it names.

    Args:
        path: A checkpoint of the paper's code.

    Returns:
        What was saved: dicts, lists, tuples, texts, numbers and tensors (on the CPU); NumPy numbers
        are Python numbers, NumPy arrays are `InertArray`, skills are `InertRecord`.

    Raises:
        CheckpointError: If the file cannot be read, is no zip archive as torch writes it, is cut
            off, or holds anything else; the message names every foreign object. Nothing of the
            file was run.
    """
    file = Path(path)
    try:
        _check_names(_read_pickle(file), file)
        with _lock, torch.serialization.safe_globals([(v, name) for name, v in _STAND_INS.items()]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        # What torch says goes on for a page about loading without protection.
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise CheckpointError(f"{file} is damaged, or is no checkpoint: {reason}") from error


def _read_pickle(file: Path) -> bytes:
    """The archive's pickle, after a look at the archive itself."""
    try:
        size = file.stat().st_size
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            # torch stores entries as they are; anything else could unfold to any size.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CheckpointError(f"{file} is compressed; torch.save does not compress")
            if sum(entry.file_size for entry in entries) > size:
                raise CheckpointError(f"{file} claims to hold more bytes than it has")
            pickles = [entry for entry in entries if entry.filename.split("/")[1:] == ["data.pkl"]]
            if len(pickles) != 1:
                raise CheckpointError(
                    f"{file} is a zip archive, but not one that torch.save wrote: it holds "
                    f"{len(pickles)} files FOLDER/data.pkl instead of one"
                )
            return archive.read(pickles[0])
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror or error}") from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{file} is not a zip archive as torch.save writes it, or is cut off ({error}). Copy "
            "it again; a file of torch before 1.6 must be saved anew with a later one"
        ) from error


def _check_names(pickled: bytes, file: Path) -> None:
    foreign = sorted({name for name in _names(pickled) if name not in _KNOWN_NAMES})
    if foreign:
        raise CheckpointError(
            f"{file} is refused, and nothing of it was run: it holds {', '.join(foreign)}, which "
            "is no part of the paper's checkpoints. Do not open it with other tools unless you "
            "trust its source"
        )


def _names(pickled: bytes) -> Iterator[str]:
    """Every function and class that a pickle names, read from its instructions."""
    texts: deque[str] = deque(maxlen=2)
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in _NAMING:
            yield str(argument).replace(" ", ".")
        elif opcode.name in _HIDDEN_NAMING:
            yield ".".join(texts) or opcode.name
        elif isinstance(argument, str):
            texts.append(argument)
