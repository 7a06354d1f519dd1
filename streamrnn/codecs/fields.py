"""Where in a value the wanted fields lie, and the structs that take just these out of it, in one call a value.

A field's name is a key of the object at `input.path`. A name with dots is such a key if the object has it, else
the way down to a field: `fields.temp` is the key "fields.temp", or temp in the object at "fields".
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from streamrnn.codecs.input_form import FROM_TOP

Path = tuple[str, ...]


class Leaf(NamedTuple):
    """One place where a field may lie: the keys down to it, the type of what may lie there, and what stands for it
    where nothing does."""

    path: Path
    kind: Any
    default: Any

    @property
    def shown(self) -> str:
        """The place as msgspec's errors name it."""
        return f"`$.{'.'.join(self.path)}`"


def base_path(path: str | None) -> Path:
    """The keys down to the object that holds the fields."""
    return tuple(path.removeprefix(FROM_TOP).split(".")) if path else ()


def places(name: str, base: Path) -> list[Path]:
    """Where a field of an option may lie, the first that is there counts."""
    if name.startswith(FROM_TOP):
        return feature_places(name.removeprefix(FROM_TOP), ())
    return feature_places(name, base)


def feature_places(name: str, base: Path) -> list[Path]:
    """Where a feature may lie, the first that is there counts."""
    down = tuple(name.split("."))
    return [(*base, name), (*base, *down)] if len(down) > 1 and all(down) else [(*base, name)]


def without_clashes(wanted: Sequence[list[Path]]) -> list[list[Path]]:
    """Without the ways down that lead through another field that is wanted, or to it, or to what it lies in."""
    taken = [first for first, *_ in wanted]
    kept: list[list[Path]] = []
    for first, *others in wanted:
        free = [path for path in others if not any(_is_within(path, other) for other in taken)]
        taken += free
        kept.append([first, *free])
    return kept


def _is_within(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


class Tree:
    """Structs in one another that hold the leaves and nothing else, and the way back to columns.

    ValueError when two leaves are one place, or one lies inside the other, or a name is one that no JSON has.
    """

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        below: dict[str, list[int]] = {}
        for index, leaf in enumerate(leaves):
            below.setdefault(leaf.path[0], []).append(index)
        self._parts = [_part(leaves, indexes) for indexes in below.values()]
        fields = [_field(number, part, leaves) for number, part in enumerate(self._parts)]
        names = {f"f{number}": name for number, name in enumerate(below)}
        self.shape: Any = msgspec.defstruct("Tick", fields, rename=names, gc=False)
        self.nothing = self.shape()

    def columns(self, rows: Iterable[Any]) -> dict[int, Sequence[Any]]:
        """What lies at each leaf, by the leaf's number; n values each."""
        return dict(self._columns(rows))

    def _columns(self, rows: Iterable[Any]) -> Iterator[tuple[int, Sequence[Any]]]:
        found = zip(*map(msgspec.structs.astuple, rows), strict=True)
        for part, column in zip(self._parts, found, strict=True):
            if isinstance(part, int):
                yield part, column
            else:
                below = part.tree.columns(part.tree.nothing if row is None else row for row in column)
                yield from ((part.indexes[index], inner) for index, inner in below.items())


class _Below(NamedTuple):
    """An object within: the leaves in it, and their numbers one level up."""

    tree: Tree
    indexes: list[int]


def _part(leaves: Sequence[Leaf], indexes: list[int]) -> int | _Below:
    if len(indexes) == 1 and len(leaves[indexes[0]].path) == 1:
        return indexes[0]
    inner = [leaves[index]._replace(path=leaves[index].path[1:]) for index in indexes]
    if not all(leaf.path for leaf in inner):
        names = sorted({".".join(leaves[index].path) for index in indexes})
        raise ValueError(f"these fields are one, or one lies inside another: {', '.join(names)}")
    return _Below(Tree(inner), indexes)


def _field(number: int, part: int | _Below, leaves: Sequence[Leaf]) -> tuple[str, Any, Any]:
    if isinstance(part, int):
        return f"f{number}", leaves[part].kind, leaves[part].default
    return f"f{number}", part.tree.shape | None, None
