"""What is shown of the streams that an engine holds, keyed as people write keys. Asks the engine on its thread.

An Inspection is made before HTTP listens, so torch and numba, with which engine and codecs come, are imported only
once there is an engine to look at.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from streamrnn.config.input import KeyKind

if TYPE_CHECKING:
    from streamrnn.engine.thread import EngineThread


class Inspection:
    """Answers people who look, from the engines of those who speak, the first of them first.

    Without threads nothing is loaded yet, and there is nothing to see.
    """

    def __init__(self, kind: KeyKind, threads: "Callable[[], Sequence[EngineThread]]" = list) -> None:
        self._kind, self._threads = kind, threads

    async def stream(self, shown: str, partition: int | None) -> dict[str, Any] | None:
        """All that is held of the stream whose key is shown so; DataError if no key is."""
        for thread in self._threads():
            from streamrnn.codecs.keys import from_text, to_text

            key = from_text(shown, self._kind)
            view = await thread.call(thread.engine.inspect, partition, key)
            if view is not None:
                return dataclasses.asdict(view) | {"stream": to_text(key, self._kind)}
        return None

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        """Up to `limit` resident streams whose shown key begins so."""
        shown: dict[tuple[int, bytes], int] = {}
        for thread in self._threads():
            from streamrnn.codecs.keys import begins
            from streamrnn.engine.listing import held_streams

            found = await held_streams(thread, limit, begins(prefix, self._kind))
            shown = {(partition, stream): steps for partition, stream, steps in found} | shown
        return [self._row(*key, steps) for key, steps in list(shown.items())[:limit]]

    def _row(self, partition: int, stream: bytes, steps: int) -> dict[str, Any]:
        from streamrnn.codecs.keys import to_text

        return {"partition": partition, "stream": to_text(stream, self._kind), "steps": steps}

    def glance(self) -> dict[str, Any]:
        """The model and how many streams it has; None and 0 before it is loaded."""
        engine = next((thread.engine for thread in self._threads()), None)
        return {
            "model": engine and engine.spec.label,
            "device": engine and str(engine.device),
            "streams": engine.resident if engine else 0,
            "parked": engine.parked if engine else 0,
            "evicted": engine.evicted_total if engine else 0,
            "slab_bytes": engine.slab_bytes if engine else 0,
        }
