"""The wheel holds what the source tree holds, and importing the package stays light."""

import subprocess
import sys
import tomllib
from pathlib import Path

import langgraph_memskill

ROOT = Path(__file__).parent.parent
CODE_FOLDERS = ("langgraph_memskill", "graphs", "trainers", "benchmarks")


def _packages_on_disk() -> set[str]:
    found = set()
    for folder in CODE_FOLDERS:
        for module in (ROOT / folder).rglob("*.py"):
            parts = module.parent.relative_to(ROOT).parts
            prefix = () if folder == "langgraph_memskill" else ("langgraph_memskill",)
            found.add(".".join((*prefix, *parts)))
    return found


def _setuptools() -> dict[str, object]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return document["tool"]["setuptools"]


def test_every_folder_with_code_is_a_listed_package() -> None:
    assert set(_setuptools()["packages"]) == _packages_on_disk()


def test_every_data_file_matches_a_listed_pattern() -> None:
    patterns = _setuptools()["package-data"]
    listed = {
        path
        for package, globs in patterns.items()
        for glob in globs
        for path in (ROOT / _folder(package)).glob(glob)
    }
    on_disk = {
        path
        for folder in CODE_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix != ".py" and "__pycache__" not in path.parts and path.is_file()
    }
    assert on_disk == listed


def _folder(package: str) -> str:
    parts = package.split(".")
    inside = len(parts) > 1 and parts[1] in CODE_FOLDERS
    return "/".join(parts[1:] if inside else parts)


def test_public_names_are_importable_and_complete() -> None:
    assert sorted(langgraph_memskill.__all__) == langgraph_memskill.__all__
    for name in langgraph_memskill.__all__:
        assert getattr(langgraph_memskill, name).__name__ == name


def test_importing_every_public_name_loads_nothing_heavy() -> None:
    program = (
        "import sys, langgraph_memskill as m; [getattr(m, name) for name in m.__all__]; "
        "heavy = {'torch', 'chromadb', 'transformers', 'nltk', 'scipy', 'sklearn'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_typing_links_point_at_the_code_folders() -> None:
    for name in CODE_FOLDERS[1:]:
        assert (ROOT / "typings/langgraph_memskill" / name).resolve() == ROOT / name
