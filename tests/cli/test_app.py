import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import Result

from langgraph_memskill.cli import options
from langgraph_memskill.cli.demo import SpanModeName
from langgraph_memskill.cli.logs import configure_logs
from langgraph_memskill.cli.questions import Style
from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.models import MODEL_VARIABLE
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.spans import SpanMode

Run = Callable[..., Result]

COMMANDS = ["demo", "chat", "remember", "recall", "answer", "retry", "memories", "skills", "doctor"]


def test_help_names_every_command(run: Run) -> None:
    shown = run("--help")
    assert shown.exit_code == 0
    assert [name for name in COMMANDS if f" {name} " not in shown.stdout] == []


@pytest.mark.parametrize("command", [*COMMANDS[:6], "doctor"])
def test_every_command_has_json(run: Run, command: str) -> None:
    assert "--json" in run(command, "--help").stdout


@pytest.mark.parametrize(
    "command",
    [f"memories {name}" for name in ("list", "show", "history", "forget")]
    + [f"skills {name}" for name in ("list", "show", "lint")],
)
def test_every_subcommand_has_json(run: Run, command: str) -> None:
    assert "--json" in run(*command.split(), "--help").stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout == "memskill 0.1.0\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["recall"],
        ["recall", "x", "-k", "0"],
        ["recall", "x", "--nonsense"],
        ["answer", "x", "--style", "loud"],
        ["demo", "--sessions", "0"],
        ["demo", "--span-mode", "paragraph"],
        ["demo", "--workers", "none"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: list[str]) -> None:
    failed = run(*arguments)
    assert failed.exit_code == 2
    assert failed.stdout == ""
    assert failed.stderr


def test_what_is_written_twice_agrees() -> None:
    """Names that are repeated in the options, because their own modules are slow to import."""
    assert options.MODEL_VARIABLE == MODEL_VARIABLE
    assert get_args(Style) == tuple(style.value for style in AnswerStyle)
    assert set(get_args(SpanModeName)) == {mode.value for mode in SpanMode} - {"paragraph"}


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from langgraph_memskill.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'chromadb', 'langchain', 'langgraph', 'pydantic', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_ascii_only(prepared: Path) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", "from langgraph_memskill.cli import main; main()"]
        + ["skills", "list", "--folder", str(prepared)],
        capture_output=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"insert" in done.stdout


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt, 130), (ModelCallError, 1)])
def test_an_interrupt_and_an_error_close_the_memory(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    fakes: object,
    raised: type[BaseException],
    code: int,
) -> None:
    from langgraph_memskill.memory import MemSkillMemory

    closed: list[object] = []
    close = MemSkillMemory.close

    def closing(memory: MemSkillMemory) -> None:
        closed.append(memory)
        close(memory)

    def fail(*_: Any, **__: Any) -> None:
        raise raised("now")

    monkeypatch.setattr(MemSkillMemory, "close", closing)
    monkeypatch.setattr(MemSkillMemory, "remember", fail)
    stopped = run("remember", "something")
    assert stopped.exit_code == code
    assert len(closed) == 1
    expected = "interrupted" if code == 130 else "now"
    assert stopped.stderr.splitlines()[-1] == f"error: {expected}"


def test_the_program_says_that_no_model_was_named(
    run: Run, fakes: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "No model was named (--model or MEMSKILL_MODEL): using the extractive model"
    assert words in run("remember", "remember one").stderr
    assert words not in run("remember", "remember two", "--model", "x:y").stderr
    monkeypatch.setenv("MEMSKILL_MODEL", "x:y")
    assert words not in run("remember", "remember three").stderr


@pytest.mark.parametrize(
    ("model", "words"),
    [("nonsense:model", "nonsense"), ("", "empty"), ("http://host", "#name")],
)
def test_an_unknown_model_is_one_line(run: Run, model: str, words: str) -> None:
    failed = run("remember", "something", "--model", model)
    assert failed.exit_code == 1
    [line] = failed.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert not Path("memdir").exists()


def test_logs_of_others_are_silent_and_errors_of_ours_are_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    restore = configure_logs(verbose=False)
    try:
        logging.getLogger("somebody").error("hidden")
        logging.getLogger("langgraph_memskill.x").warning("hidden")
        try:
            raise ValueError("the\nreason")
        except ValueError:
            logging.getLogger("langgraph_memskill.x").exception("not done \x1b")
    finally:
        restore()
    assert capsys.readouterr().err == "error: not done \\x1b (ValueError: the reason)\n"


def test_verbose_shows_logs_and_is_undone(capsys: pytest.CaptureFixture[str]) -> None:
    root, ours = logging.getLogger(), logging.getLogger("langgraph_memskill")
    before = (root.level, ours.level, list(root.handlers), list(ours.handlers))
    restore = configure_logs(verbose=True)
    logging.getLogger("somebody").info("shown \x1b")
    logging.getLogger("somebody").debug("hidden")
    logging.getLogger("langgraph_memskill.x").debug("also shown")
    restore()
    shown = capsys.readouterr().err
    assert "INFO somebody: shown \\x1b" in shown
    assert "DEBUG langgraph_memskill.x: also shown" in shown
    assert "hidden" not in shown
    assert (root.level, ours.level, list(root.handlers), list(ours.handlers)) == before
