import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import Result

from langgraph_memskill.memory import MemSkillMemory

Run = Callable[..., Result]
Hashes = Callable[[Path], dict[str, str]]


def checks(result: Result) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


def test_a_good_memory_passes_and_is_not_touched(run: Run, prepared: Path, hashes: Hashes) -> None:
    before = hashes(prepared)
    done = run("doctor", "--folder", prepared, "--json")
    assert hashes(prepared) == before
    assert done.exit_code == 0
    found = checks(done)
    assert {name for name, check in found.items() if check["status"] != "ok"} == {"model"}
    assert "extractive" in found["model"]["found"].lower()
    assert "all-MiniLM-L6-v2, 384 dimensions" in found["encoder"]["found"]
    assert "1 user" in found["store"]["found"]


def test_a_folder_that_is_not_there_is_not_made(run: Run) -> None:
    done = run("doctor", "--folder", "nowhere", "--model", "extractive")
    assert done.exit_code == 0
    assert "there is no memory in" in done.stdout
    assert not Path("nowhere").exists()
    assert list(Path.cwd().iterdir()) == []


def test_values_of_variables_are_never_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("UNRELATED", "x")
    done = run("doctor", "--folder", "nowhere", "--json")
    environment = checks(done)["environment"]
    assert environment["status"] == "warn"
    assert "LANGSMITH_TRACING, OPENAI_API_KEY" in environment["found"]
    assert "sent to LangSmith" in environment["found"]
    assert "UNRELATED" not in environment["found"]
    assert "sk-secret" not in done.output


def test_what_is_broken_fails_with_advice(run: Run, fakes: object) -> None:
    run("remember", "remember one")
    Path("memdir/skills/insert/SKILL.md").write_text("no front matter", encoding="utf-8")
    (controller := Path("memdir/controller")).mkdir()
    (controller / "controller.json").write_text("{}", encoding="utf-8")
    done = run("doctor", "--json", "--model", "nonsense:model")
    found = checks(done)
    assert done.exit_code == 1
    failed = {name for name, check in found.items() if check["status"] == "fail"}
    assert failed == {"skills", "controller", "model"}
    assert "memskill skills lint" in found["skills"]["advice"]
    assert "SKILL.md" in found["skills"]["found"]


def test_another_encoder_fails(run: Run, fakes: object) -> None:
    run("remember", "remember one")
    Path("memdir/memory.json").write_text(
        json.dumps({"format_version": 1, "encoder": "other", "dims": 48}), encoding="utf-8"
    )
    encoder = checks(run("doctor", "--json"))["encoder"]
    assert encoder["status"] == "fail"
    assert "the memory was made with other (48)" in encoder["found"]


def test_spans_that_wait_are_a_warning(run: Run, fakes: Any) -> None:
    fakes.reply = "gibberish"
    run("remember", "remember one")
    store = checks(run("doctor", "--json"))["store"]
    assert store["status"] == "warn"
    assert "1 span waits for a retry" in store["found"]
    assert store["advice"] == "run: memskill retry"


@pytest.mark.parametrize("works", [True, False])
def test_calling_the_model(
    run: Run, fakes: Any, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    monkeypatch.setattr("langgraph_memskill.models.load_model", lambda *_: fakes)
    fakes.failures = 0 if works else 1
    model = checks(run("doctor", "--json", "--call", "--model", "x:y"))["model"]
    assert model["status"] == ("ok" if works else "fail")
    assert ("answered in" if works else "the endpoint is down") in model["found"]
    assert len(fakes.prompts) == 1


def test_a_package_that_is_too_old(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from langgraph_memskill.cli import checks as module

    monkeypatch.setattr(module, "requires", lambda _: ["typer>=1000", "rich", "none; extra=='x'"])
    packages = checks(run("doctor", "--folder", "nowhere", "--json"))["packages"]
    assert packages["status"] == "fail"
    assert "needed: typer>=1000" in packages["found"]
    assert "none" not in packages["found"]


def test_an_installation_that_is_broken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError("libcudart.so: cannot open shared object file")

    monkeypatch.setattr("langgraph_memskill.embedding.load_encoder", broken)
    done = run("doctor", "--folder", "nowhere", "--json")
    encoder = checks(done)["encoder"]
    assert done.exit_code == 1
    assert encoder["found"] == "OSError: libcudart.so: cannot open shared object file"
    assert encoder["advice"] == "see: memskill -v doctor"


def test_no_room_for_a_copy_of_the_store(
    run: Run, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    store = checks(run("doctor", "--folder", prepared, "--json"))["store"]
    assert (store["status"], store["advice"]) == ("warn", "set TMPDIR to a larger disk")


def test_formats_log_and_lifetimes_are_told(
    run: Run, fakes: object, model: Any, encoder: Any
) -> None:
    run("remember", "remember one")
    found = checks(run("doctor", "--json"))
    assert ", format 2, made with words" in found["memory folder"]["found"]
    assert "opens, format 2" in found["store"]["found"]
    assert found["change log"]["found"].startswith("whole, ")
    ttl: Any = {"default_ttl": 60, "refresh_on_read": False}
    with MemSkillMemory.open("memdir", model, encoder=encoder, ttl=ttl) as memory:
        memory.save("two", user_id="default")
    found = checks(run("doctor", "--json"))
    assert "expires 60 minutes after its last writing" in found["memory folder"]["found"]
    assert "recall" not in found["memory folder"]["found"]


def test_a_log_with_gaps_fails(run: Run, fakes: object) -> None:
    run("remember", "remember one")
    with closing(sqlite3.connect("memdir/changes.db")) as database:
        database.execute("DROP TRIGGER changes_keep")
        database.execute("UPDATE changes SET version = 3")
        database.commit()
    done = run("doctor", "--json")
    log = checks(done)["change log"]
    assert (done.exit_code, log["status"]) == (1, "fail")
    assert "has 1 changes, but its last number is 3" in log["found"]
