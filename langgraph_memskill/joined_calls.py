"""Model calls that several threads share: who waits for the model is served along with the next."""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Compute: TypeAlias = Callable[[list[str]], Mapping[str, Floats]]

_MOST_JOINED = 1024
"""Texts that one thread computes for the others, at most."""


class _Wish:
    """Texts that a thread waits for, and their vectors once somebody has computed them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        self.vectors: dict[str, Floats] | None = None


class JoinedCalls:
    """Lets one thread at a time call a model, with all the texts that threads wait for.

    A model reads many texts at a time much faster than one after the other.
    """

    def __init__(self, compute: Compute) -> None:
        """Make it for one model.

        Args:
            compute: Embeds distinct texts; never called by two threads at once.
        """
        self._compute = compute
        # Tokenizers and models are not safe to call from several threads at once.
        self._model_lock = Lock()
        self._wishes: list[_Wish] = []
        self._wishes_lock = Lock()

    def vectors(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Embed texts, or wait for another thread that does it.

        Args:
            texts: Distinct.

        Returns:
            The vector of each text.

        Raises:
            Exception: What `compute` raises for these texts; for those of other threads, they
                find out themselves.
        """
        wish = _Wish(texts)
        with self._wishes_lock:
            self._wishes.append(wish)
        with self._model_lock:
            if wish.vectors is None:
                self._fulfil(wish, self._taken(wish))
        assert wish.vectors is not None
        return wish.vectors

    def _taken(self, own: _Wish) -> list[_Wish]:
        """The wishes to fulfil at once, the own one first."""
        with self._wishes_lock:
            if own in self._wishes:
                self._wishes.remove(own)
            taken, count = [own], 0
            while self._wishes and count + len(self._wishes[0].texts) <= _MOST_JOINED:
                taken.append(self._wishes.pop(0))
                count += len(taken[-1].texts)
        return taken

    def _fulfil(self, own: _Wish, wishes: Sequence[_Wish]) -> None:
        texts = list(dict.fromkeys(text for wish in wishes for text in wish.texts))
        try:
            vectors = self._compute(texts)
        except Exception:
            if len(wishes) == 1:
                raise
            # The trouble may be another thread's text: each computes its own.
            wishes, vectors = [own], self._compute(own.texts)
        for wish in wishes:
            wish.vectors = {text: vectors[text] for text in wish.texts}
