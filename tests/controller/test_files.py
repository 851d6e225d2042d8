import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from langgraph_memskill.controller import files
from langgraph_memskill.controller.files import load_controller, read_controller, save_controller
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.selectors import ControllerSelector, SelectionRequest
from langgraph_memskill.errors import CheckpointError, ConfigError

WEIGHTS = "controller.safetensors"
SETTINGS = "controller.json"


@pytest.fixture
def policy():
    return SkillPolicy(state_dim=12, skill_dim=6, hidden_dim=4, seed=7)


@pytest.fixture
def folder(tmp_path, policy):
    save_controller(tmp_path, policy, encoder_name="toy", notes={"seed": 7})
    return tmp_path


def test_a_controller_comes_back_as_it_was(tmp_path, policy, encoder, bank):
    saved = save_controller(
        tmp_path / "new" / "controller",
        policy,
        encoder_name="toy",
        fusion="sim_weighted",
        tau=0.5,
        k=5,
        notes={"reward": 0.25, "data": ["a", "b"]},
    )
    assert sorted(os.listdir(tmp_path / "new" / "controller")) == [SETTINGS, WEIGHTS]
    requests = [
        SelectionRequest(span=encoder.encode(["span"])[0], memories=encoder.encode(["one", "two"]))
    ]
    expected = ControllerSelector(policy, encoder, fusion="sim_weighted", tau=0.5)
    loaded = load_controller(tmp_path / "new" / "controller", encoder=encoder)
    assert loaded.select(requests, bank, 3) == expected.select(requests, bank, 3)
    assert loaded.version == saved.version
    stored = read_controller(tmp_path / "new" / "controller")
    assert stored.settings == saved
    assert (saved.k, saved.notes) == (5, {"reward": 0.25, "data": ["a", "b"]})
    for name, tensor in policy.state_dict().items():
        assert torch.equal(stored.policy.state_dict()[name], tensor)


def test_the_settings_are_plain_json(folder):
    document = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    assert document["format_version"] == 1
    assert (document["state_dim"], document["op_dim"], document["hidden_dim"]) == (12, 6, 4)
    assert (document["encoder"], document["fusion"], document["k"]) == ("toy", "mean", 3)
    assert document["notes"] == {"seed": 7}
    assert set(load_file(folder / WEIGHTS)) == set(read_controller(folder).policy.state_dict())


def test_the_version_names_the_content(tmp_path, policy):
    def version(number, **changes):
        options = {"encoder_name": "toy"} | changes
        return save_controller(tmp_path / str(number), policy, **options).version

    first = version(1)
    assert version(2, notes={"other": "notes"}, k=7) == first
    assert version(3, fusion="sim_weighted") != first
    assert version(4, encoder_name="other") != first
    with torch.no_grad():
        policy.op_net[0].bias[0] += 1e-3
    assert version(5) != first


def test_settings_that_do_not_matter_may_be_edited(folder, encoder):
    document = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    (folder / SETTINGS).write_text(json.dumps(document | {"k": 9}), encoding="utf-8")
    assert read_controller(folder).settings.k == 9


@pytest.mark.parametrize("missing", [WEIGHTS, SETTINGS])
def test_a_missing_file_is_named(folder, encoder, missing):
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match=f"{missing} is missing"):
        load_controller(folder, encoder=encoder)


@pytest.mark.parametrize("keep", [0, 4, 200, -1])
def test_cut_off_weights_are_refused(folder, encoder, keep):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:keep])
    with pytest.raises(CheckpointError, match="cut off"):
        load_controller(folder, encoder=encoder)


def test_a_pickle_is_not_run(folder, encoder, tmp_path):
    trap = tmp_path / "trap"

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(trap),)

    torch.save({"op_net.0.bias": Payload()}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_controller(folder, encoder=encoder)
    assert not trap.exists()


def test_a_changed_byte_is_noticed(folder, encoder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_controller(folder, encoder=encoder)


def test_weights_of_another_shape_name_the_tensor(folder, encoder):
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors | {"op_net.2.bias": torch.zeros(9)}, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"'op_net.2.bias' has shape \(9,\)"):
        load_controller(folder, encoder=encoder)
    del tensors["op_net.2.bias"]
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(
        CheckpointError, match=r"controller.safetensors.*'op_net.2.bias' is missing"
    ):
        load_controller(folder, encoder=encoder)


def test_weights_without_their_settings_are_refused(folder, encoder):
    other = SkillPolicy(state_dim=12, skill_dim=6, hidden_dim=4, seed=8)
    save_file(other.state_dict(), folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="does not belong to controller.json"):
        load_controller(folder, encoder=encoder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2.*upgrade"),
        ({"hidden_dim": 5}, "hidden width"),
        ({"fusion": "median"}, "fusion"),
        ({"surprise": 1}, "surprise"),
        ({"encoder": "other"}, "damaged"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder, encoder, change, message):
    document = json.loads((folder / SETTINGS).read_text(encoding="utf-8")) | change
    (folder / SETTINGS).write_text(json.dumps(document), encoding="utf-8")
    # Without the copy in the weights' header, which would stand in for settings of another save.
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=message):
        load_controller(folder, encoder=encoder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format_version": 1}'])
def test_broken_settings_are_refused(folder, encoder, text):
    (folder / SETTINGS).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="no controller settings"):
        load_controller(folder, encoder=encoder)


def test_another_encoder_is_refused_unless_its_vectors_are_said_to_be_the_same(folder, encoder):
    encoder.name = "toy-renamed"
    with pytest.raises(CheckpointError, match="'toy', not with 'toy-renamed'.*any_encoder=True"):
        load_controller(folder, encoder=encoder)
    assert load_controller(folder, encoder=encoder, any_encoder=True).version
    encoder.dim = 8
    with pytest.raises(CheckpointError, match="width 6.*width 8"):
        load_controller(folder, encoder=encoder, any_encoder=True)


def test_a_crash_between_the_files_leaves_the_new_controller(folder, encoder, policy, monkeypatch):
    with torch.no_grad():
        policy.op_net[0].bias += 1
    replace = os.replace

    def crash(source, target):
        if str(target).endswith(SETTINGS):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        save_controller(folder, policy, encoder_name="toy", fusion="sim_weighted", tau=0.3)
    stored = read_controller(folder)
    assert (stored.settings.fusion, stored.settings.tau) == ("sim_weighted", 0.3)
    assert torch.equal(stored.policy.op_net[0].bias, policy.op_net[0].bias)
    assert sorted(os.listdir(folder)) == [SETTINGS, WEIGHTS]


def test_a_crash_while_writing_leaves_the_old_controller(folder, policy, monkeypatch):
    before = {name: (folder / name).read_bytes() for name in (WEIGHTS, SETTINGS)}

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with torch.no_grad():
        policy.op_net[0].bias += 1
    with pytest.raises(CheckpointError, match="No space left"):
        save_controller(folder, policy, encoder_name="toy")
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == before


def test_settings_that_cannot_be_saved_are_refused(tmp_path, policy):
    with pytest.raises(ConfigError, match="notes"):
        save_controller(tmp_path, policy, encoder_name="toy", notes={"weights": np.zeros(3)})
    with pytest.raises(ConfigError, match="fusion"):
        save_controller(tmp_path, policy, encoder_name="toy", fusion="median")
    assert os.listdir(tmp_path) == []
