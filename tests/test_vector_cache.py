import numpy as np

from langgraph_memskill.vector_cache import VectorCache


def test_a_cache_counts_its_texts():
    cache = VectorCache(2)
    cache.add({text: np.zeros(1, np.float32) for text in "abc"})
    assert len(cache) == 2
    assert set(cache.find(["a", "b", "c"])) == {"b", "c"}
