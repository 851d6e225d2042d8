import pytest

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec


@pytest.mark.parametrize(
    "spec",
    [
        "http://ann:secret@host:8000/v1#m",
        "http://host/v1?key=secret#m",
        "http://host/v1,https://secret@other/v1#m",
    ],
)
def test_a_url_that_may_hold_a_secret_is_refused_without_showing_it(spec):
    with pytest.raises(ConfigError, match="MEMSKILL_API_KEY on the machines") as caught:
        ModelSpec(spec=spec)
    assert "secret" not in str(caught.value)


def test_a_model_object_has_no_name_for_a_worker():
    with pytest.raises(ConfigError, match="instead of passing a chat model object"):
        ModelSpec(spec="")


@pytest.mark.parametrize(
    "spec", ["extractive", "openai:gpt-4.1-mini", "http://a:1/v1,http://b:1/v1#m"]
)
def test_other_names_are_taken(spec):
    assert ModelSpec(spec=spec).spec == spec


def test_equal_specs_are_loaded_once_a_process():
    spec, encoder = ModelSpec(spec="extractive"), EncoderSpec(by_length=True)
    model = spec.load(encoder)
    assert isinstance(model, ExtractiveChatModel)
    assert model is ModelSpec(spec="extractive").load(EncoderSpec(by_length=True))
    assert model is not spec.load(EncoderSpec(batch_size=1))
    assert model.encoder is encoder.load()
