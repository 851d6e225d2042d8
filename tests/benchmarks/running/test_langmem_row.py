from types import SimpleNamespace

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langgraph_memskill.benchmarks.running import langmem_row
from langgraph_memskill.errors import ConfigError, MissingDependencyError
from langgraph_memskill.extractive.model import ExtractiveChatModel
from tests.benchmarks.running.worlds import PLACES, data_file, make_run
from tests.conftest import ReadingModel


class ToolCaller(ReadingModel):
    """Asked to keep memories, it calls the tool for a new one with the span's "saw" line."""

    tools: tuple[str, ...] = ()

    def bind_tools(self, tools, **kwargs):
        names = [t["function"]["name"] if isinstance(t, dict) else t.__name__ for t in tools]
        return self.model_copy(update={"tools": tuple(names)})

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if "Memory" not in self.tools:
            return super()._generate(messages, stop, run_manager, **kwargs)
        text = "\n".join(str(message.content) for message in messages)
        seen = next(line for line in text.splitlines() if line.startswith("remember "))
        call = {
            "name": "Memory",
            "args": {"content": seen.removeprefix("remember ")},
            "id": f"call-{len(text)}",
            "type": "tool_call",
        }
        usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        message = AIMessage("", tool_calls=[call], usage_metadata=usage)
        message.response_metadata["model_name"] = "tool-caller"
        return ChatResult(generations=[ChatGeneration(message=message)])


def test_langmem_writes_memories_with_the_spans_they_are_from(tmp_path):
    pytest.importorskip("langmem")
    run = make_run(data_file(tmp_path, ("Ann",)), ToolCaller(), rows=("langmem",))
    row = run.run(tmp_path / "run", tmp_path / "memories").rows[0]
    build = row.builds[0]
    assert (build.num_memories, build.failed_spans) == (len(PLACES), 0)
    assert {m.content: m.evidence_ids[0] for m in build.memories} == {
        f"Ann saw {place}": f"D{number}:1" for number, place in enumerate(PLACES, 1)
    }
    assert build.usage.calls == len(PLACES)
    assert build.usage.input_tokens == 10 * len(PLACES)
    assert row.categories[-1].metrics["f1"].mean == 1.0


def test_a_model_without_tools_is_refused(tmp_path):
    pytest.importorskip("langmem")
    with pytest.raises(ConfigError, match="a model that calls tools, and 'extractive' does not"):
        make_run(data_file(tmp_path), ExtractiveChatModel(), rows=("langmem",))


def test_without_langmem_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(langmem_row, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[langmem\]"):
        make_run(data_file(tmp_path), ReadingModel(), rows=("langmem",))


def test_an_item_of_another_form_is_text():
    item = SimpleNamespace(
        key="k", value={"content": "plain"}, created_at="2024-01-01", updated_at="2024-01-01"
    )
    assert langmem_row._memory(item, {}).content == "plain"
