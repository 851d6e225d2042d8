import pytest

from langgraph_memskill import sentence_models


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen3-Embedding-0.6B", "Qwen3-Embedding-0.6B"),
        ("/models/Qwen3-Embedding-0.6B/", "Qwen3-Embedding-0.6B"),
        ("/hub/models--Qwen--Qwen3-Embedding-0.6B/snapshots/c54f2e", "Qwen3-Embedding-0.6B"),
    ],
)
def test_a_model_has_one_name_wherever_it_is(model, name, tmp_path):
    assert sentence_models.model_name(model, tmp_path) == name
    assert sentence_models.model_name(model, None) == name


def test_cuda_takes_flash_attention_where_it_is_installed(monkeypatch):
    import torch

    monkeypatch.setattr(sentence_models, "find_spec", lambda name: object())
    attention = [o["attn_implementation"] for o in sentence_models.load_options("cuda:1")]
    assert attention == ["flash_attention_2", "sdpa"]
    assert {o["dtype"] for o in sentence_models.load_options("cuda")} == {torch.bfloat16}
    [exact] = sentence_models.load_options("cuda", "float32")  # flash attention has no float32
    assert (exact["attn_implementation"], exact["dtype"]) == ("sdpa", torch.float32)
    monkeypatch.setattr(sentence_models, "find_spec", lambda name: None)
    [only] = sentence_models.load_options("cuda")
    assert only["attn_implementation"] == "sdpa"
    [on_cpu] = sentence_models.load_options("cpu")
    assert on_cpu == {"use_safetensors": True, "dtype": torch.float32}


def test_a_model_without_flash_attention_is_loaded_without_it(monkeypatch):
    tried = []

    def load(source, device, local_only, options):
        tried.append(options["attn_implementation"])
        if options["attn_implementation"] == "flash_attention_2":
            raise ValueError("this architecture has no flash attention")
        return "model"

    monkeypatch.setattr(sentence_models, "_load", load)
    monkeypatch.setattr(sentence_models, "find_spec", lambda name: object())
    assert sentence_models.load_model("m", "cuda", local_only=True) == "model"
    assert tried == ["flash_attention_2", "sdpa"]
