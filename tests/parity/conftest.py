"""The parity kit: inputs and expected outputs of the paper's method, read from a folder."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file


class Kit:
    """Reads the files of one parity folder; a missing file skips the test that asks for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, relative: str) -> Path:
        path = self._folder / relative
        if not path.exists():
            pytest.skip(f"the parity folder {self._folder} has no {relative}")
        return path

    def document(self, relative: str) -> dict[str, Any]:
        return json.loads(self.path(relative).read_text(encoding="utf-8"))

    def cases(self, relative: str) -> list[dict[str, Any]]:
        return self.document(relative)["cases"]

    def meta(self, relative: str) -> dict[str, Any]:
        return self.document(relative).get("meta", {})

    def tensors(self, relative: str) -> dict[str, NDArray[Any]]:
        return load_file(self.path(relative))


@pytest.fixture(scope="session")
def kit() -> Kit:
    folder = os.environ.get("MEMSKILL_PARITY_DIR")
    if not folder:
        pytest.skip("MEMSKILL_PARITY_DIR is not set: it names the folder with the parity vectors")
    if not Path(folder).is_dir():
        pytest.skip(f"MEMSKILL_PARITY_DIR={folder} is not a folder")
    return Kit(Path(folder))
