"""VllmChatModel with the real vLLM in the process.

It needs vLLM, and MEMSKILL_VLLM_MODEL, the folder of a small model (`make test-vllm-here`).
"""

import asyncio
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import BaseModel

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.models.vllm_model import VllmChatModel

FOLDER = os.environ.get("MEMSKILL_VLLM_MODEL", "")
pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        find_spec("vllm") is None or not FOLDER,
        reason="vLLM is not installed, or MEMSKILL_VLLM_MODEL names no folder of a model",
    ),
    pytest.mark.filterwarnings("ignore"),  # vLLM's own
    pytest.mark.timeout(1800),
]


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def real() -> VllmChatModel:
    return VllmChatModel(
        model=Path(FOLDER),
        max_model_len=2048,
        max_tokens=24,
        dtype="bfloat16",
        engine={"enforce_eager": True, "gpu_memory_utilization": 0.4},
    )


async def test_the_real_engine_answers_many_at_once_and_by_a_schema(real: VllmChatModel) -> None:
    alone = await real.ainvoke("Say the number 3.")
    together = await asyncio.gather(*(real.ainvoke(f"Say the number {n}.") for n in range(6)))
    assert all(reply.text for reply in together)
    assert together[3].usage_metadata is not None
    assert alone.usage_metadata is not None
    assert together[3].usage_metadata["input_tokens"] == alone.usage_metadata["input_tokens"]
    longer = real.model_copy(update={"max_tokens": 64})
    person = await longer.with_structured_output(Person).ainvoke("Anna is 30 years old.")
    assert isinstance(person, Person)


def test_the_real_engine_refuses_what_is_too_long(real: VllmChatModel) -> None:
    with pytest.raises(ModelCallError, match="2048"):
        real.invoke("word " * 4000)
    assert real.invoke("Say hello.").text
