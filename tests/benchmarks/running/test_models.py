"""Which model it was, as far as results depend on it."""

import pytest

from langgraph_memskill.benchmarks.running.models import NamedModel
from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.models.local_model import LocalChatModel
from tests.benchmarks.running.worlds import data_file, make_run
from tests.conftest import ReadingModel


def local(path, content):
    path.write_bytes(b"GGUF" + content)
    return NamedModel(model=LocalChatModel(model_path=path), spec=f"local:{path}")


def test_another_file_under_the_same_path_is_another_model(tmp_path):
    one = local(tmp_path / "model.gguf", b"one").identity
    assert local(tmp_path / "model.gguf", b"two").identity != one
    assert local(tmp_path / "model.gguf", b"one").identity == one
    log = local(tmp_path / "model.gguf", b"one").log("reader")
    assert log.sha256 is not None
    assert log.sha256 in one


def test_a_file_that_is_gone_is_named(tmp_path):
    model = local(tmp_path / "model.gguf", b"one")
    (tmp_path / "model.gguf").unlink()
    with pytest.raises(ModelCallError, match=r"cannot read the model file .*model\.gguf"):
        _ = model.identity


def test_a_model_elsewhere_has_its_name_only():
    model = NamedModel(model=ReadingModel(), spec="http://user:secret@host/v1#m")
    assert model.identity == "http://host/v1#m"
    assert model.log("judge").sha256 is None


def test_memories_of_another_file_are_not_taken(tmp_path, monkeypatch):
    file = data_file(tmp_path)
    keys = []
    for content in ("a" * 64, "b" * 64):
        monkeypatch.setattr(NamedModel, "sha256", content)
        run = make_run(file, ReadingModel(), rows=("similarity",))
        keys.append((run.id, run.systems[0].key(run.data.materials[0])))
    (first_id, first_key), (second_id, second_key) = keys
    assert first_key != second_key
    assert first_id != second_id
