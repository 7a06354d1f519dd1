"""The plan of the house: what a room, a file and a class are called, and how large things may be."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "streamrnn"
SOURCES = {path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {path: ast.parse(source) for path, source in SOURCES.items()}
LOOSE = 6
"""Modules at the top beside the rooms, at most."""
LONGEST_FILE, LONGEST_FUNCTION, NINE_IN_TEN = 300, 50, 20
"""Lines."""
CLASSES_TWICE = {
    "Columns": "of a record's value in codecs/, of a block's tensors in engine/step/: both are its columns",
}
"""Names that two classes bear, and why."""
FILES_TWICE = {
    "history.py": "kafka/ reads the one from a topic that train/ learns from",
}
"""Names that two modules bear, and why."""


def classes() -> dict[str, list[str]]:
    """Where each name of a class is defined, wherever in a module."""
    found = defaultdict(list)
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(f"{path}:{node.lineno}")
    return found


def modules() -> dict[str, list[str]]:
    """Where each name of a file is."""
    found = defaultdict(list)
    for path in SOURCES:
        if not path.name.startswith("__"):
            found[path.name].append(str(path))
    return found


def twice(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: places for name, places in found.items() if len(places) > 1}


def functions() -> dict[str, int]:
    """Lines of every function, its decorators left out."""
    return {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_no_name_of_a_class_means_two_things() -> None:
    found = twice(classes())
    assert {name: places for name, places in found.items() if name not in CLASSES_TWICE} == {}
    assert set(CLASSES_TWICE) <= set(found), "no longer twice: strike them"


def test_no_name_of_a_file_stands_in_two_rooms() -> None:
    found = twice(modules())
    assert {name: places for name, places in found.items() if name not in FILES_TWICE} == {}
    assert set(FILES_TWICE) <= set(found), "no longer twice: strike them"


@pytest.mark.parametrize("name", [*CLASSES_TWICE, *FILES_TWICE])
def test_an_exception_has_a_reason(name: str) -> None:
    assert len((CLASSES_TWICE | FILES_TWICE)[name]) > 20


def test_no_file_is_long() -> None:
    lines = {str(path): len(source.splitlines()) for path, source in SOURCES.items()}
    assert {path: n for path, n in lines.items() if n > LONGEST_FILE} == {}


def test_no_function_is_long_and_most_are_short() -> None:
    found = functions()
    assert {name: lines for name, lines in found.items() if lines > LONGEST_FUNCTION} == {}
    assert sorted(found.values())[len(found) * 9 // 10] <= NINE_IN_TEN


def test_the_top_is_rooms_and_few_modules() -> None:
    loose = [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    assert len(loose) <= LOOSE, loose


def test_every_room_says_what_it_owns() -> None:
    faces = {path: ast.get_docstring(tree) for path, tree in TREES.items() if path.name == "__init__.py"}
    assert [str(path) for path, said in faces.items() if not said] == []
