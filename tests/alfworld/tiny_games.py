"""Writes tiny valid games in the engine's format, with the domain and grammar that it ships.

A room holds a few receptacles with a few objects; the task is to put one object somewhere, cleaned
before if that is asked for. The engine needs about a twentieth of a second for such a game.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

TASK_TYPES = ("pick_and_place_simple", "pick_clean_then_place_in_recep")


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyGame:
    """What is in the room, and what is to be done."""

    name: str = "mug"
    target: str = "Mug"
    """Kind of the object to move."""
    goal: str = "Shelf"
    """Kind of the receptacle that it belongs on."""
    start: str = "Desk"
    """Kind of the receptacle that it stands on."""
    others: tuple[str, ...] = ("Book", "Pen")
    """Kinds of objects beside it."""
    drawers: int = 1
    """Closed drawers, which are empty."""
    is_clean: bool = False
    """Whether the object must be cleaned in the sink."""

    @property
    def task_type(self) -> str:
        return TASK_TYPES[self.is_clean]

    @property
    def objective(self) -> str:
        clean = "clean " if self.is_clean else ""
        return f"put a {clean}{self.target.lower()} in {self.goal.lower()}"


def write_game(data: Path, game: TinyGame, *, split: str = "train", trial: int = 0) -> Path:
    """Write a game into a folder of ALFWorld's layout, and return the game file."""
    task = f"{game.task_type}-{game.target}-None-{game.goal}-{game.name}"
    folder = data / "json_2.1.1" / split / task / f"trial_T{trial:04}"
    folder.mkdir(parents=True)
    shipped = files("alfworld") / "data"
    grammar = (shipped / "alfred.twl2").read_text(encoding="utf-8")
    content = {
        "pddl_domain": (shipped / "alfred.pddl").read_text(encoding="utf-8"),
        "grammar": grammar.replace("UNKNOWN GOAL", game.objective),
        "pddl_problem": problem(game),
        "solvable": True,
    }
    path = folder / "game.tw-pddl"
    path.write_text(json.dumps(content), encoding="utf-8")
    (folder / "traj_data.json").write_text(
        json.dumps({"task_type": game.task_type, "task_id": folder.name}), encoding="utf-8"
    )
    return path


def problem(game: TinyGame) -> str:
    """The PDDL problem of a game."""
    receptacles = [game.start, game.goal, "SinkBasin", *["Drawer"] * game.drawers]
    objects = [game.target, *game.others]
    places = [(place_id(kind, n), kind, f"loc_bar_{n}") for n, kind in enumerate(receptacles)]
    things = [(f"{kind}_bar_{n}", kind) for n, kind in enumerate(objects, 50)]
    declared = [
        "agent1 - agent",
        "loc_bar_start - location",
        *(f"{kind}Type - otype" for kind in dict.fromkeys(objects)),
        *(f"{kind}Type - rtype" for kind in dict.fromkeys(receptacles)),
        *(f"{name} - receptacle" for name, _, _ in places),
        *(f"{location} - location" for _, _, location in places),
        *(f"{name} - object" for name, _ in things),
    ]
    start_name, _, start_location = places[0]
    facts = [
        "(atLocation agent1 loc_bar_start)",
        *(f"(receptacleType {name} {kind}Type)" for name, kind, _ in places),
        *(f"(receptacleAtLocation {name} {location})" for name, _, location in places),
        *(f"(openable {name})" for name, kind, _ in places if kind == "Drawer"),
        *(f"(objectType {name} {kind}Type)" for name, kind in things),
        *(f"({fact} {name})" for name, _ in things for fact in ("pickupable", "cleanable")),
        *(f"(inReceptacle {name} {start_name})" for name, _ in things),
        *(f"(objectAtLocation {name} {start_location})" for name, _ in things),
        *(
            f"(canContain {receptacle}Type {kind}Type)"
            for receptacle in dict.fromkeys(receptacles)
            for kind in dict.fromkeys(objects)
        ),
    ]
    wanted = [
        f"(objectType ?o {game.target}Type)",
        f"(receptacleType ?r {game.goal}Type)",
        "(inReceptacle ?o ?r)",
        *(["(cleanable ?o)", "(isClean ?o)"] if game.is_clean else []),
    ]
    return (
        "(define (problem tiny)\n(:domain alfred)\n(:objects\n"
        + "\n".join(declared)
        + "\n)\n(:init\n"
        + "\n".join(facts)
        + "\n(= (total-cost) 0)\n)\n(:goal (exists (?r - receptacle) (exists (?o - object) (and "
        + " ".join(wanted)
        + "))))\n(:metric minimize (total-cost))\n)\n"
    )


def place_id(kind: str, number: int) -> str:
    """A receptacle's id, from which the engine makes its name: a SinkBasin is "sinkbasin 1"."""
    stem = kind.removesuffix("Basin")
    return f"{stem}_bar_{number}" + ("_bar_basin" if stem != kind else "")


def write_games(data: Path, *, train: int = 4, valid_seen: int = 2) -> Path:
    """Write a data folder with games of both task types, each of another object."""
    kinds = ("Mug", "Plate", "Apple", "Bowl", "Cup", "Vase", "Watch", "Candle")
    for split, count in (("train", train), ("valid_seen", valid_seen)):
        for number in range(count):
            game = TinyGame(
                name=f"{split}{number}",
                target=kinds[number // 2 % len(kinds)],
                is_clean=number % 2 == 1,
            )
            write_game(data, game, split=split)
    return data
