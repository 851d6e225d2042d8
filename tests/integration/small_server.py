"""llama.cpp's OpenAI-compatible server with SmolLM2, on one core."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.models.local_model import bundled_gguf


@contextmanager
def small_server(*, context: int, reply: int, slots: int = 1) -> Iterator[str]:
    """Start a server, and skip the test where llama.cpp or the model is not there.

    Args:
        context: Tokens of all slots together.
        reply: Tokens of a reply at most.
        slots: Calls at a time.

    Yields:
        The address with the model's name, as `load_model` takes it.
    """
    xllamacpp = pytest.importorskip("xllamacpp", reason="the extra [local] brings llama.cpp")
    try:
        gguf = bundled_gguf()
    except ModelCallError as error:
        pytest.skip(f"no small model at hand: {error}")
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = context
    params.n_parallel = slots
    params.n_predict = reply
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.verbosity = -1
    params.port = 0
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1#smollm2"
    del server
