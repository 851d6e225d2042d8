"""Small conversations with orders for `ReadingModel`, and runs over them."""

import json
import time
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from pydantic import PrivateAttr

from langgraph_memskill.benchmarks.registry import get_task
from langgraph_memskill.benchmarks.running.material import load_data
from langgraph_memskill.benchmarks.running.models import NamedModel
from langgraph_memskill.benchmarks.running.run import BenchmarkRun, Models
from langgraph_memskill.benchmarks.running.settings import RunSettings
from tests.conftest import ReadingModel, WordEncoder

PLACES = ("Oslo", "Rome", "Kyoto", "Lima")


def record(name, places=PLACES):
    conversation = {}
    for number, place in enumerate(places, 1):
        conversation[f"session_{number}_date_time"] = f"1:00 pm on {number} May, 2024"
        conversation[f"session_{number}"] = [
            {
                "speaker": "Ann",
                "dia_id": f"D{number}:1",
                "text": f"Hi.\nremember {name} saw {place}\nOK?",
            },
            {"speaker": "Ben", "dia_id": f"D{number}:2", "text": "Good to know."},
        ]
    questions = [
        {
            "question": f"Who saw {place}?",
            "answer": f"{name} saw {place}",
            "evidence": [f"D{number}:1"],
            "category": 1 + number % 2,
        }
        for number, place in enumerate(places, 1)
    ]
    return {"sample_id": name, "conversation": conversation, "qa": questions}


def data_file(tmp_path, names=("Ann", "Eve")):
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([record(name) for name in names]), encoding="utf-8")
    return path


class Flaky(ReadingModel):
    """Fails one call in three: at each third new prompt, which then works when it comes again."""

    _seen: set[str] = PrivateAttr(default_factory=set)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        prompt = "\n".join(message.text for message in messages)
        if prompt not in self._seen:
            self._seen.add(prompt)
            if len(self._seen) % 3 == 0:
                raise ConnectionError("the endpoint is down")
        return super()._generate(messages, stop, run_manager, **kwargs)


class Halting(ReadingModel):
    """Answers no more once a file has so many lines, so that its process can be killed then."""

    pattern: str = ""
    num_lines: int = 0

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        while self.pattern and count_lines(self.pattern) >= self.num_lines:
            time.sleep(0.02)
        return super()._generate(messages, stop, run_manager, **kwargs)


def count_lines(pattern):
    """The lines of the longest file of that name; `*` is a wildcard in the last part."""
    path = Path(pattern)
    texts = [file.read_text(encoding="utf-8") for file in path.parent.glob(path.name)]
    return max((text.count("\n") for text in texts), default=-1)


def make_run(file, model: BaseChatModel, *, judge=None, reader=None, prices=None, **settings):
    task = get_task("locomo")
    chosen = RunSettings(**({"split": "all", "rows": ("rag", "similarity")} | settings))
    encoder = WordEncoder()
    models = Models(
        executor=NamedModel(model=model, spec="fake"),
        reader=NamedModel(model=reader or model, spec="fake"),
        judge=None if judge is None else NamedModel(model=judge, spec="judge"),
        encoder=encoder,
    )
    return BenchmarkRun(task, load_data(task, file, chosen), models, chosen, prices=prices)
