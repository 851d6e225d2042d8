"""The vectors of the texts that were embedded last."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError

Floats: TypeAlias = NDArray[np.float32]


class VectorCache:
    """The vectors of the texts used last, by text; several threads may use it."""

    def __init__(self, capacity: int) -> None:
        """Keep at most `capacity` texts; 0 keeps none.

        Raises:
            ConfigError: If `capacity` is negative.
        """
        if capacity < 0:
            raise ConfigError(f"cache_size={capacity!r} must be at least 0 (0 turns the cache off)")
        self._capacity = capacity
        self._vectors: OrderedDict[str, Floats] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def find(self, texts: Sequence[str]) -> dict[str, Floats]:
        """The vectors of those texts that are known."""
        with self._lock:
            found = {text: self._vectors[text] for text in texts if text in self._vectors}
            for text in found:
                self._vectors.move_to_end(text)
        return found

    def add(self, vectors: Mapping[str, Floats]) -> None:
        """Keep vectors, dropping those that were not asked for the longest time."""
        with self._lock:
            self._vectors.update(vectors)
            while len(self._vectors) > self._capacity:
                self._vectors.popitem(last=False)
