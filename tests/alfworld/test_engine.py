"""The wrapper around the real engine: what it shows, what it refuses, how it ends."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from langgraph_memskill.alfworld import pool as pools
from langgraph_memskill.alfworld.engine import Engine, TimeLimits
from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.records import GameFile, TaskType
from langgraph_memskill.errors import ConfigError, EngineStoppedError, GameError, GameLoadError
from tests.alfworld.tiny_games import TinyGame, write_game


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone, also as a zombie."""
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def children() -> set[str]:
    own = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return set(own.split())


def test_a_game_from_the_first_look_to_the_end(engine: Engine, games: list[GameFile]) -> None:
    state = engine.reset(games[2])
    assert state.observation == (
        "You are in the middle of a room. Looking quickly around you, you see a desk 1, a drawer 1,"
        " a shelf 1, and a sinkbasin 1.\n\nYour task is to: put a clean mug in shelf."
    )
    assert state.objective == "put a clean mug in shelf"
    assert state.task_type is TaskType.CLEAN
    assert state.admissible == (
        "go to desk 1", "go to drawer 1", "go to shelf 1", "go to sinkbasin 1",
        "help", "inventory", "look",
    )  # fmt: skip
    assert (state.inventory, state.num_steps, state.is_done) == ((), 0, False)
    plan = engine.plan()
    assert plan == (
        "go to desk 1", "take mug 1 from desk 1", "go to sinkbasin 1",
        "clean mug 1 with sinkbasin 1", "go to shelf 1", "move mug 1 to shelf 1",
    )  # fmt: skip
    states = [engine.step(command) for command in plan]
    assert states[1].observation == "You pick up the mug 1 from the desk 1."
    assert [state.inventory for state in states] == [(), *[("mug 1",)] * 4, ()]
    assert [state.reward for state in states] == [0.0] * 5 + [1.0]
    last = states[-1]
    assert (last.is_done, last.is_won, last.num_steps) == (True, True, 6)
    assert engine.state == last
    assert engine.plan() == ()
    with pytest.raises(GameError, match="is over: begin another one"):
        engine.step("look")


def test_a_command_that_is_not_admissible_changes_nothing(
    engine: Engine, games: list[GameFile]
) -> None:
    before = engine.reset(games[0])
    after = engine.step("dance")
    assert after.observation == "Nothing happens."
    assert (after.admissible, after.num_steps) == (before.admissible, 1)


def test_a_process_plays_many_games(engine: Engine, games: list[GameFile]) -> None:
    first = engine.reset(games[0])
    engine.step("go to desk 1")
    pid = engine.pid
    assert engine.reset(games[1]).objective == "put a plate in shelf"
    assert engine.reset(games[0]) == first
    assert engine.pid == pid


def test_texts_do_not_depend_on_the_hash_seed(
    games: list[GameFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        with Engine() as engine:
            engine.reset(games[0])
            seen.append((engine.state, engine.step("go to desk 1")))
    assert seen[0] == seen[1]


_WALK = """
import json, random, sys
from langgraph_memskill.alfworld import engine_process
if sys.argv[1] == "as it ships":
    engine_process._parse_once = engine_process._copy_no_more_than_needed = lambda: None
game, chance = engine_process.Game(), random.Random(7)
seen = [game.reset(sys.argv[2])]
for _ in range(30):
    seen.append(game.step(chance.choice(seen[-1]["admissible"])))
print(json.dumps(seen), file=sys.stderr)
"""


def test_what_is_done_for_speed_changes_no_text(games: list[GameFile]) -> None:
    seen = []
    for engine in ("as it ships", "as it is used"):
        played = subprocess.run(
            [sys.executable, "-c", _WALK, engine, str(games[0].path)],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.append(json.loads(played.stderr.splitlines()[-1]))
    assert seen[0] == seen[1]
    assert len({str(state) for state in seen[0]}) > 5


def test_an_engine_without_a_game_says_so(engine: Engine) -> None:
    for ask in (lambda: engine.step("look"), engine.plan, lambda: engine.state):
        with pytest.raises(GameError, match="no game is loaded"):
            ask()


def test_a_game_that_cannot_be_loaded(
    engine: Engine, games: list[GameFile], tmp_path: Path
) -> None:
    path = write_game(tmp_path, TinyGame())
    content = json.loads(path.read_text(encoding="utf-8"))
    content["pddl_problem"] = content["pddl_problem"].replace("(objectType Mug_bar_50 MugType)", "")
    del content["grammar"]
    path.write_text(json.dumps(content), encoding="utf-8")
    [broken] = list_games(tmp_path, "train")
    with pytest.raises(GameLoadError, match=r"cannot load the game json.*KeyError: 'grammar'"):
        engine.reset(broken)
    with pytest.raises(GameError, match="no game is loaded"):
        engine.step("look")
    assert engine.reset(games[0]).admissible


def test_a_killed_engine_is_noticed_and_replaced(engine: Engine, games: list[GameFile]) -> None:
    engine.reset(games[0])
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineStoppedError, match=r"stopped: its process ended|Broken pipe"):
        engine.step("look")
    wait_for_end(pid)
    assert not engine.is_running
    assert engine.reset(games[0]).num_steps == 0


@pytest.mark.parametrize("during", ["step", "plan"])
def test_a_stuck_engine_is_ended(games: list[GameFile], during: str) -> None:
    with Engine(TimeLimits(step_seconds=0.2, plan_seconds=0.2)) as engine:
        engine.reset(games[0])
        pid = engine.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        ask = engine.plan if during == "plan" else lambda: engine.step("look")
        with pytest.raises(EngineStoppedError, match=r"did not answer within 0\.2 s and was ended"):
            ask()
        wait_for_end(pid)


def test_a_game_that_takes_too_long_to_load(games: list[GameFile]) -> None:
    with Engine(TimeLimits(reset_seconds=0.01)) as engine:
        with pytest.raises(GameLoadError, match=r"within 0\.01 s and was ended"):
            engine.reset(games[0])
        assert not engine.is_running


class Disturbed(Engine):
    """An engine whose first processes get a signal before they have loaded a game."""

    def __init__(self, *signals: int) -> None:
        super().__init__()
        self._signals = list(signals)
        self.starts = 0

    def _start(self) -> None:
        super()._start()
        assert self.pid is not None
        if self._signals:
            os.kill(self.pid, self._signals.pop())
        self.starts += 1


@pytest.mark.parametrize("deaths", [1, 2])
def test_an_engine_that_stops_over_a_game_gets_one_successor(
    games: list[GameFile], deaths: int
) -> None:
    with Disturbed(*[signal.SIGKILL] * deaths) as engine:
        if deaths == 1:
            assert engine.reset(games[0]).admissible
        else:
            with pytest.raises(GameLoadError, match="was not loaded: the engine of the game"):
                engine.reset(games[0])
        assert engine.starts == 2


def test_an_engine_that_is_killed_over_a_game_gets_no_successor(games: list[GameFile]) -> None:
    with Disturbed(signal.SIGSTOP) as engine, ThreadPoolExecutor(1) as thread:
        loading = thread.submit(engine.reset, games[0])
        while engine.starts == 0:
            time.sleep(0.01)
        engine.kill()
        with pytest.raises(GameLoadError, match="was not loaded"):
            loading.result()
        assert engine.starts == 1


def test_a_process_that_got_stuck_between_games_is_replaced(games: list[GameFile]) -> None:
    with Engine(TimeLimits(reset_seconds=300)) as engine:
        engine.reset(games[0])
        first = engine.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert engine.reset(games[1]).admissible
        assert engine.pid != first


async def test_the_async_twins(games: list[GameFile]) -> None:
    async with Engine() as engine:
        state = await engine.areset(games[0])
        for command in await engine.aplan():
            state = await engine.astep(command)
        assert state.is_won


async def test_a_cancelled_call_ends_the_engine(games: list[GameFile]) -> None:
    async with Engine() as engine:
        await engine.areset(games[0])
        pid = engine.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        waiting = asyncio.create_task(engine.astep("look"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await engine.aclose()
        wait_for_end(pid)


async def test_the_loop_goes_on_while_an_engine_works(games: list[GameFile]) -> None:
    async with Engine(TimeLimits(step_seconds=300)) as engine:
        await engine.areset(games[0])
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGSTOP)
        looking = asyncio.create_task(engine.astep("look"))
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert not looking.done()
        os.kill(engine.pid, signal.SIGCONT)
        assert (await looking).admissible


def test_an_engine_dies_with_whoever_uses_it(games: list[GameFile]) -> None:
    engine = Engine()
    engine.reset(games[0])
    pid = engine.pid
    assert pid is not None
    del engine
    gc.collect()
    wait_for_end(pid)


def test_engines_are_used_again(pool: EnginePool, games: list[GameFile]) -> None:
    with pool.engine() as first:
        first.reset(games[0])
        with pool.engine() as second:
            second.reset(games[1])
            assert first.pid != second.pid
            pids = {first.pid, second.pid}
    with pool.engine() as third:
        assert third.pid in pids
        third.kill()
        assert not third.is_running
    with pool.engine() as fourth:
        assert fourth is not third
        assert fourth.reset(games[0]).admissible


def test_a_process_is_retired_after_some_games(
    games: list[GameFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "GAMES_PER_PROCESS", 2)
    pids = []
    with EnginePool() as pool:
        for game in games[:4]:
            with pool.engine() as engine:
                engine.reset(game)
                pids.append(engine.pid)
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_closed_pool_lends_nothing(games: list[GameFile]) -> None:
    pool = EnginePool()
    with pool.engine() as engine:
        engine.reset(games[0])
        pid = engine.pid
        pool.close()
    assert pid is not None
    wait_for_end(pid)
    with pytest.raises(ConfigError, match="is closed"), pool.engine():
        pass


@pytest.mark.parametrize("field", ["reset_seconds", "step_seconds", "plan_seconds"])
def test_limits_are_checked(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}=0 must be a number above 0"):
        TimeLimits(**{field: 0})


@pytest.mark.slow
async def test_nothing_is_left_of_200_episodes(games: list[GameFile]) -> None:
    gc.collect()
    before = open_files(), children()
    pool = EnginePool()

    async def play(number: int, slots: asyncio.Semaphore) -> None:
        async with slots, pool.aengine() as engine:
            await engine.areset(games[number % len(games)])
            if number % 20 == 7:
                engine.kill()
                with pytest.raises(EngineStoppedError):
                    await engine.astep("look")
                return
            for command in await engine.aplan():
                state = await engine.astep(command)
            assert state.is_won

    slots = asyncio.Semaphore(3)
    await asyncio.gather(*(play(number, slots) for number in range(200)))
    await pool.aclose()
    gc.collect()
    assert children() <= before[1]
    for _ in range(300):  # threads of other tests open a file now and then, and close it again
        if open_files() <= before[0]:
            break
        await asyncio.sleep(0.1)
    assert open_files() <= before[0]


def test_the_game_that_the_engine_cannot_load(engine: Engine, real_data: Path) -> None:
    [game] = [g for g in list_games(real_data, "valid_seen") if "BaseballBat" in g.id]
    with pytest.raises(GameLoadError, match="KeyError"):
        engine.reset(game)


def test_the_real_data(real_data: Path) -> None:
    assert len(list_games(real_data, "train")) == 96
    assert len(list_games(real_data, "valid_seen")) == 36
    assert len(list_games(real_data, "valid_seen", solvable_only=True)) == 33
