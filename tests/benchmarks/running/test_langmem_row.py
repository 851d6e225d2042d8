import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr
from tenacity import wait_none

from langgraph_memskill.benchmarks.run_log import without_times
from langgraph_memskill.benchmarks.running import langmem_row
from langgraph_memskill.benchmarks.running.builds import BuildCache
from langgraph_memskill.benchmarks.running.saving import SavePace
from langgraph_memskill.errors import BenchmarkError, ConfigError, MissingDependencyError
from langgraph_memskill.extractive.model import ExtractiveChatModel
from tests.benchmarks.running.worlds import PLACES, data_file, make_run, record
from tests.conftest import ReadingModel


class ToolCaller(ReadingModel):
    """Asked to keep memories, it calls LangMem's tools with what the span's orders say.

    "remember X" is a new memory; "change OLD to NEW" rewrites the shown memory with OLD in it. A
    span whose text holds the word of `breaks` fails as often as that says.
    """

    reports: bool = True
    breaks: dict[str, int] = {}
    _seen: list[str] = PrivateAttr(default_factory=list)

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=[t if isinstance(t, dict) else t.__name__ for t in tools])

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if not kwargs.get("tools"):
            return super()._generate(messages, stop, run_manager, **kwargs)
        text = "\n".join(str(message.content) for message in messages)
        self._seen.append(text)
        for word in self.breaks:
            if word in text and self.breaks[word]:
                self.breaks[word] -= 1
                raise ConnectionError(f"the endpoint is down at {word}")
        message = AIMessage("", tool_calls=list(_orders(text)))
        if self.reports:
            message.usage_metadata = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
            message.response_metadata["model_name"] = "tool-caller"
        return ChatResult(generations=[ChatGeneration(message=message)])


def _orders(text):
    shown = re.findall(r"<instance id=(\w+) .*?>\n(.*)\n</instance>", text)
    for number, line in enumerate(text.splitlines()):
        if line.startswith("remember "):
            yield _call("Memory", number, content=line.removeprefix("remember "))
        if line.startswith("change "):
            old, new = line.removeprefix("change ").split(" to ")
            patch = {"op": "replace", "path": "/content", "value": new}
            found = next(memory_id for memory_id, content in shown if old in content)
            yield _call("PatchDoc", number, json_doc_id=found, planned_edits=new, patches=[patch])


def _call(name, number, **arguments):
    return {"name": name, "args": arguments, "id": f"call-{number}", "type": "tool_call"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    pytest.importorskip("langmem")
    # Not to wait a second or two between attempts.
    monkeypatch.setattr("langchain_core.runnables.retry.wait_exponential_jitter", wait_none)


def langmem(tmp_path, model, name="run", names=("Ann",), **settings):
    run = make_run(data_file(tmp_path, names), model, rows=("langmem",), **settings)
    return run.run(tmp_path / name, tmp_path / f"{name}-memories").rows[0]


def test_langmem_writes_memories_with_the_spans_they_are_from(tmp_path):
    row = langmem(tmp_path, ToolCaller())
    build = row.builds[0]
    assert (build.num_memories, build.failed_spans) == (len(PLACES), 0)
    assert {m.content: m.evidence_ids[0] for m in build.memories} == {
        f"Ann saw {place}": f"D{number}:1" for number, place in enumerate(PLACES, 1)
    }
    assert build.actions == {"insert": len(PLACES)}
    assert (build.usage.calls, build.usage.estimated_calls) == (len(PLACES), 0)
    assert build.usage.input_tokens == 10 * len(PLACES)
    assert row.categories[-1].metrics["f1"].mean == 1.0


def test_a_memory_that_langmem_rewrites_has_both_spans(tmp_path):
    one = record("Ann", PLACES[:2])
    turn = one["conversation"]["session_2"][0]
    turn["text"] = "Hi.\nchange Ann saw Oslo to Ann lives in Oslo\nOK?"
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([one]), encoding="utf-8")
    run = make_run(file, ToolCaller(), rows=("langmem",))
    build = run.run(tmp_path / "run", tmp_path / "memories").rows[0].builds[0]
    assert [(m.content, m.span_ids) for m in build.memories] == [("Ann lives in Oslo", ("0", "1"))]
    assert build.actions == {"insert": 1, "update": 1}


def test_a_span_that_fails_is_shown_again(tmp_path):
    model = ToolCaller(breaks={"Rome": 2})
    build = langmem(tmp_path, model, attempts=3).builds[0]
    assert (build.num_memories, build.failed_spans) == (len(PLACES), 0)
    # Failed calls are calls, and have no tokens.
    assert build.usage.calls == len(PLACES) + 2
    assert build.usage.input_tokens == 10 * len(PLACES)


def test_a_span_that_fails_for_good_is_counted_and_the_others_are_read(tmp_path):
    model = ToolCaller(breaks={"Rome": 100})
    row = langmem(tmp_path, model, attempts=2, max_failures=0.5)
    build = row.builds[0]
    assert (build.num_memories, build.failed_spans) == (len(PLACES) - 1, 1)
    assert model.breaks["Rome"] == 100 - 2
    assert [item.error for item in row.items] == [None] * len(PLACES)


def test_too_many_failed_spans_end_the_run(tmp_path):
    model = ToolCaller(breaks={"Hi.": 100})
    with pytest.raises(BenchmarkError, match=r"4 of 4 spans of the row 'langmem'.* down at Hi"):
        langmem(tmp_path, model, attempts=1)


def test_tokens_are_estimated_where_the_model_reports_none(tmp_path):
    build = langmem(tmp_path, ToolCaller(reports=False)).builds[0]
    assert build.usage.estimated_calls == build.usage.calls == len(PLACES)
    # LangMem's instructions and tools, and the arguments of the calls.
    assert build.usage.input_tokens > 200 * len(PLACES)
    assert build.usage.output_tokens > 3 * len(PLACES)


@pytest.mark.parametrize("rewrites", [False, True])
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch, rewrites):
    monkeypatch.setattr(SavePace, "is_due", True)
    one = record("Ann")
    if rewrites:
        turn = one["conversation"]["session_4"][0]
        turn["text"] += "\nchange Ann saw Oslo to Ann lives in Oslo"
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([one]), encoding="utf-8")

    def run(model, name, on_progress=None):
        parts = make_run(file, model, rows=("langmem",))
        return parts.run(tmp_path / name, tmp_path / f"{name}-memories", on_progress=on_progress)

    def stop(progress):
        if progress.done == 2:
            raise BenchmarkError("stopped")

    expected = run(ToolCaller(), "whole")
    with pytest.raises(BenchmarkError, match="stopped"):
        run(ToolCaller(), "stopped", stop)
    kept = BuildCache(tmp_path / "stopped-memories").load(expected.rows[0].builds[0].key)
    assert (kept.done, kept.is_complete) == (2, False)

    model = ToolCaller()
    resumed = run(model, "stopped")
    assert without_times(resumed) == without_times(expected)
    assert len(model._seen) == 2  # only the spans that had not been read


def test_a_model_without_tools_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="a model that calls tools, and 'extractive' does not"):
        make_run(data_file(tmp_path), ExtractiveChatModel(), rows=("langmem",))


def test_without_langmem_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(langmem_row, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[langmem\]"):
        make_run(data_file(tmp_path), ReadingModel(), rows=("langmem",))


def test_an_item_of_another_form_is_text():
    now = datetime(2024, 1, 1, tzinfo=UTC)
    item = SimpleNamespace(key="k", value={"content": "plain"}, updated_at=now)
    assert langmem_row._memory("k", item, (), now).content == "plain"
