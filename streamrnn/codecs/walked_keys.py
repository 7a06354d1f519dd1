"""The fields that a reader wants as the keys that lead to them, for a walk over values. Knows no value.

Shapes: C keys, N objects, 0 the text as a whole.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from streamrnn.codecs.compiled.field_walk import WantedKeys, first_notes
from streamrnn.codecs.fields import Path
from streamrnn.codecs.objects import WantedLeaves

Below = dict[str, tuple[int, int]]
"""By key in one object: the field, and the number of the object that lies there, 0 for none."""


def wanted_keys(wanted: WantedLeaves, paths: Sequence[Path]) -> WantedKeys:
    """The keys to the leaves at these paths. Several leaves of one field are one field: two of them in one text are
    one too many for the walk."""
    count = len(wanted.features)
    objects: list[Below] = [{}]
    first = count + 1 + len(wanted.streams)  # the field that stands for an object, less the object's number
    for leaf, field in _fields(wanted, count):
        node = 0
        for name in paths[leaf][:-1]:
            if name not in objects[node]:
                objects[node][name] = first + len(objects), len(objects)
                objects.append({})
            node = objects[node][name][1]
        objects[node][paths[leaf][-1]] = field, 0
    return _as_arrays(objects, count, bool(wanted.sequence), len(wanted.streams))


def _fields(wanted: WantedLeaves, count: int) -> Iterator[tuple[int, int]]:
    """Every leaf and its field's number."""
    for field, leaves in enumerate(wanted.features):
        yield from ((leaf, field) for leaf in leaves)
    for field, found in ((count, wanted.time), (count + 1, wanted.sequence)):
        yield from ((leaf, field) for leaves in found for leaf in leaves)
    for field, leaves in enumerate(wanted.streams, count + 2):
        yield from ((leaf, field) for leaf in leaves)


def _as_arrays(objects: Sequence[Below], width: int, has_order: bool, streams: int) -> WantedKeys:
    names = [name.encode() for below in objects for name in below]
    targets = [target for below in objects for target in below.values()]
    sizes, held = np.array(list(map(len, names)), np.int64), np.array(list(map(len, objects)), np.int64)
    keys = np.column_stack([np.cumsum(sizes) - sizes, sizes, np.array(targets, np.int64)])
    reach = np.column_stack([np.cumsum(held) - held, np.cumsum(held)])
    text = np.frombuffer(bytearray().join(names), np.uint8)
    return WantedKeys(text, keys, reach, width, has_order, streams, first_notes(keys, reach, width, streams))
