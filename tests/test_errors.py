"""The tree of errors is drawn as it is, and holds all but what is named here."""

import ast
import re
from pathlib import Path

import pytest

from streamrnn import errors

PACKAGE = Path(errors.__file__).parent
FROM_OUTSIDE = {"OSError"}
"""Drawn for what hangs below it."""
SIGNALS = {
    "codecs": {"Refused"},
    "kafka": {"NotSent", "Unreadable", "Undecodable", "TooLarge", "_Later"},
    "registry": {"_DamagedPointer"},
    "replay": {"Stopped"},
    "tables": {"Bad"},
    "train": {"_Pruned"},
}
"""Exceptions by the room that has them: whoever calls what raises one catches it, no command ends by it."""


def drawn() -> list[tuple[str, str | None, int | None]]:
    """Each class of the drawing, the one that it hangs below, and the exit code beside it."""
    found: list[tuple[str, str | None, int | None]] = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r"((?:[|] {3}| {4})*)\+-- (\w+) .*?(?:exit (\d+))?", line):
            path = [*path[: 1 + len(match[1]) // 4], match[2]]
            found.append((match[2], path[-2], int(match[3]) if match[3] else None))
        elif re.fullmatch(r"\w+", line):
            path = [line]
            found.append((line, None, None))
    return found


def test_the_drawing_lists_exactly_the_classes_each_below_its_own() -> None:
    classes = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and name != "ClassVar"}
    real = {name: kind.__base__.__name__ for name, kind in classes.items() if name != "StreamrnnError"}
    below = {name: parent for name, parent, _ in drawn() if parent is not None}
    assert below == real
    assert {name for name, parent, _ in drawn() if parent is None} == {"StreamrnnError"} | FROM_OUTSIDE


def test_the_drawing_says_each_exit_code_where_it_changes() -> None:
    for name, parent, said in drawn():
        kind = getattr(errors, name, None)
        if parent is None or parent in FROM_OUTSIDE or kind is None:
            continue
        changes = kind.exit_code != getattr(errors, parent).exit_code
        assert said == (kind.exit_code if changes else None), name


def test_what_hangs_below_a_retriable_error_is_retriable() -> None:
    for name, parent, _ in drawn():
        if parent is not None and getattr(getattr(errors, parent, None), "retriable", False):
            assert getattr(errors, name).retriable, name


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_another_exception_is_a_signal_of_its_room(path: Path) -> None:
    known = {name for name in vars(errors) if name[0].isupper()} | {"Exception", "BaseException", "OSError"}
    tree = ast.parse(path.read_text("utf-8"))
    made = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).split(".")[-1] in known for base in node.bases)
    }
    room = path.relative_to(PACKAGE).parts[0]
    assert path.name == "errors.py" or made <= SIGNALS.get(room, set())


def test_every_signal_is_still_raised() -> None:
    for room, names in SIGNALS.items():
        files = [PACKAGE / room] if room.endswith(".py") else (PACKAGE / room).rglob("*.py")
        source = "\n".join(file.read_text("utf-8") for file in files)
        assert {name for name in names if f"class {name}(" not in source} == set()
