"""Checkpoints of the paper's code: good ones in, bad ones refused with nothing changed."""

import collections
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import CheckpointError, ConfigError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.reference.content import read_reference_checkpoint
from langgraph_memskill.trainers.reference.importing import import_checkpoint
from langgraph_memskill.trainers.reference.pickles import read_torch_file


def operation(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"What {name} does.",
        "instruction_template": f"Apply {name}.",
        "update_type": name if name in ("insert", "update", "delete", "noop") else "insert",
        "meta_info": {"usage_count": 1, "avg_reward": np.float64(0.5), "recent_rewards": [0.5]},
        "embedding": np.ones(4, np.float32),
        **fields,
    }


def content(**fields: Any) -> dict[str, Any]:
    policy = SkillPolicy(state_dim=8, skill_dim=4, hidden_dim=3, seed=1)
    return {
        "checkpoint_version": 4,
        "epoch": 1,
        "controller_state_dict": policy.state_dict(),
        "operation_bank": {
            "operations": {name: operation(name) for name in ("insert", "update")},
            "max_ops": 30,
        },
        "config": {"state_encoder": "org/enc", "op_encoder": "org/enc", "action_top_k": 3},
        **fields,
    }


def saved(path: Path, **fields: Any) -> Path:
    torch.save(content(**fields), path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def refused(file: Path, out: Path) -> str:
    with pytest.raises(CheckpointError) as refusal:
        import_checkpoint(file, out)
    assert not out.exists()
    assert not list(out.parent.glob(".*partial"))
    return str(refusal.value)


def test_a_checkpoint_without_optional_parts(file: Path, tmp_path: Path) -> None:
    report = import_checkpoint(saved(file), tmp_path / "out")
    assert report.encoder == "enc"
    assert report.skills == ("insert", "update")
    bank = SkillBank.load(tmp_path / "out/skills")
    assert bank["insert"].statistics.mean_reward == 0.5
    assert not (tmp_path / "out/training/optimizer.safetensors").exists()


def test_an_encoder_of_another_name(file: Path, tmp_path: Path) -> None:
    report = import_checkpoint(saved(file), tmp_path / "out", encoder="/models/mine")
    assert report.encoder == "mine"


def test_a_folder_in_use_is_left_alone(file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="not an empty folder"):
        import_checkpoint(saved(file), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_taken(file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    import_checkpoint(saved(file), tmp_path / "out")
    assert (tmp_path / "out/controller/controller.json").exists()


def test_a_missing_file(file: Path, tmp_path: Path) -> None:
    assert "No such file" in refused(file, tmp_path / "out")


@pytest.mark.parametrize("raw", [b"", b"hello", pickle.dumps({"a": 1}, protocol=2)])
def test_a_file_that_is_no_zip(raw: bytes, file: Path, tmp_path: Path) -> None:
    file.write_bytes(raw)
    assert "not a zip archive" in refused(file, tmp_path / "out")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(share: float, file: Path, tmp_path: Path) -> None:
    whole = saved(file).read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    assert "cut off" in refused(file, tmp_path / "out")


def test_a_zip_of_something_else(file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert "not one that torch.save wrote" in refused(file, tmp_path / "out")


def test_a_compressed_archive_is_not_unfolded(file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\0" * 100_000)
    assert "compressed" in refused(file, tmp_path / "out")


def archive_of(file: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        archive.writestr("x/version", "3\n")
    return file


class Command:
    """Runs something when it is unpickled."""

    def __init__(self, variable: str) -> None:
        self.variable = variable

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.putenv, (self.variable, "1"))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_foreign_objects_are_named_whatever_the_protocol(
    protocol: int, file: Path, tmp_path: Path
) -> None:
    pickled = pickle.dumps({"a": Command("MEMSKILL_CANARY")}, protocol=protocol)
    assert "posix.putenv" in refused(archive_of(file, pickled), tmp_path / "out")


def test_all_foreign_objects_are_named(file: Path, tmp_path: Path) -> None:
    saved(file, extra=[collections.Counter("aab"), Path("x")])
    message = refused(file, tmp_path / "out")
    assert "collections.Counter" in message
    assert "pathlib" in message


def test_a_module_of_the_papers_code_that_is_not_known(file: Path, tmp_path: Path) -> None:
    assert "src.evil.Thing" in refused(
        archive_of(file, b"\x80\x02csrc.evil\nThing\n."), tmp_path / "out"
    )


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02}q\x00",  # no end
        b"\x80\x02R.",  # calls what is not there
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.",  # a NumPy type of objects
        b"\x80\x02cnumpy\nndarray\n)\x81K\x01b.",  # an array that is a number
        b"\xff\xfe",
    ],
)
def test_a_damaged_pickle(pickled: bytes, file: Path, tmp_path: Path) -> None:
    message = refused(archive_of(file, pickled), tmp_path / "out")
    assert str(file) in message


def test_a_file_without_a_controller(file: Path, tmp_path: Path) -> None:
    torch.save({"model": torch.zeros(2)}, file)
    assert "no controller_state_dict; it holds: model" in refused(file, tmp_path / "out")


def test_a_tensor_of_another_shape(file: Path, tmp_path: Path) -> None:
    weights = content()["controller_state_dict"]
    weights["actor_head.2.bias"] = torch.zeros(2)
    message = refused(saved(file, controller_state_dict=weights), tmp_path / "out")
    assert "'actor_head.2.bias' has shape (2,), not (1,)" in message


def test_a_tensor_that_claims_more_than_it_stores(file: Path, tmp_path: Path) -> None:
    weights = content()["controller_state_dict"]
    weights["state_net.0.weight"] = torch.zeros(1).expand(1 << 20, 1 << 20)
    message = refused(saved(file, controller_state_dict=weights), tmp_path / "out")
    assert "stores fewer numbers" in message


def test_a_newer_version(file: Path, tmp_path: Path) -> None:
    assert "upgrade" in refused(saved(file, checkpoint_version=5), tmp_path / "out")


@pytest.mark.parametrize(
    ("bank", "expected"),
    [
        (None, "no dict with a dict of operations"),
        ({"operations": {"x": 3}}, "'x' is no skill but 3"),
        ({"operations": {"x": operation("x", update_type="move")}}, "must be one of insert"),
        ({"operations": {"x": operation("x", description="")}}, "description is empty"),
        ({"operations": {"x": operation("x", meta_info={"avg_reward": "?"})}}, "mean_reward"),
    ],
)
def test_a_bank_that_cannot_be_used(
    bank: object, expected: str, file: Path, tmp_path: Path
) -> None:
    assert expected in refused(saved(file, operation_bank=bank), tmp_path / "out")


def test_skills_are_adapted_where_a_rule_can_be_met(file: Path, tmp_path: Path) -> None:
    skills = {
        "Track Dates!": operation(
            "Track Dates!",
            instruction_template="Read {session_text} well.",
            meta_info={"recent_rewards": [float(i) for i in range(25)], "created_at": "designer"},
        )
    }
    saved(
        file,
        operation_bank={"operations": skills},
        operation_bank_new_operation_names=["Track Dates!"],
    )
    report = import_checkpoint(file, tmp_path / "out")
    skill = SkillBank.load(tmp_path / "out/skills")["Track_Dates"]
    assert skill.instructions == "Read the session text well."
    assert skill.origin == "designer"
    assert skill.statistics.recent_rewards == tuple(float(i) for i in range(5, 25))
    assert report.new_skills == ("Track_Dates",)
    assert len(report.adaptations) == 2


def test_two_encoders_are_said(file: Path, tmp_path: Path) -> None:
    config = {"state_encoder": "one", "op_encoder": "two"}
    report = import_checkpoint(saved(file, config=config), tmp_path / "out")
    assert any("'one'" in text and "'two'" in text for text in report.adaptations)


def test_keys_in_the_configuration_are_not_written(file: Path, tmp_path: Path) -> None:
    config = {"state_encoder": "e", "api_key": "sk-123", "max_new_tokens": 5}
    import_checkpoint(saved(file, config=config, args={"api_key": "sk-123"}), tmp_path / "out")
    written = (tmp_path / "out/training/progress.json").read_text("utf-8")
    assert json.loads(written)["config"] == {"state_encoder": "e", "max_new_tokens": 5}
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or b"sk-123" not in path.read_bytes()


def test_unknown_parts_are_said(file: Path, tmp_path: Path) -> None:
    report = import_checkpoint(saved(file, surprise=[1, 2]), tmp_path / "out")
    assert "'surprise', which is unknown here" in report.left_out


def test_values_nested_without_end(file: Path, tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    assert "deeper" in refused(saved(file, stage_rewards=deep), tmp_path / "out")


def test_an_optimizer_of_another_network(file: Path, tmp_path: Path) -> None:
    other = SkillPolicy(state_dim=8, skill_dim=4, hidden_dim=5)
    optimizer = torch.optim.Adam(other.parameters())
    sum(parameter.sum() for parameter in other.parameters()).backward()
    optimizer.step()
    message = refused(saved(file, optimizer_state_dict=optimizer.state_dict()), tmp_path / "out")
    assert "exp_avg of state_net.0.weight has the shape (5, 8), not (3, 8)" in message


def test_numpy_values_become_plain_ones(file: Path) -> None:
    array = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    torch.save({"a": array, "b": np.float32(0.5), "c": np.bool_(True)}, file)
    tree: Any = read_torch_file(file)
    assert tree["a"].values.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (tree["b"], tree["c"]) == (0.5, True)


def test_reading_leaves_torchs_list_of_names_as_it_was(file: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    read_reference_checkpoint(saved(file))
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(io.BytesIO(file.read_bytes()), weights_only=True)
