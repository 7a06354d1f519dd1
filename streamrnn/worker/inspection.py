"""What is shown of the streams that an engine holds, keyed as people write keys. Asks the engine on its thread.

An Inspection is made before HTTP listens, so torch and numba, with which engine and codecs come, are imported only
once there is an engine to look at.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from streamrnn.config.input import KeyKind

if TYPE_CHECKING:
    from streamrnn.engine.thread import EngineThread


class Inspection:
    """Answers people who look; without a thread nothing is loaded yet, and there is nothing to see."""

    def __init__(self, kind: KeyKind, thread: "EngineThread | None" = None) -> None:
        self._kind, self._thread = kind, thread

    async def stream(self, shown: str, partition: int | None) -> dict[str, Any] | None:
        """All that is held of the stream whose key is shown so; DataError if no key is."""
        if self._thread is None:
            return None
        from streamrnn.codecs.keys import from_text, to_text

        key = from_text(shown, self._kind)
        view = await self._thread.call(self._thread.engine.inspect, partition, key)
        return None if view is None else dataclasses.asdict(view) | {"stream": to_text(key, self._kind)}

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        """Up to `limit` resident streams whose shown key begins so."""
        if self._thread is None:
            return []
        from streamrnn.codecs.keys import begins, to_text
        from streamrnn.engine.listing import held_streams

        found = await held_streams(self._thread, limit, begins(prefix, self._kind))
        return [{"partition": p, "stream": to_text(s, self._kind), "steps": n} for p, s, n in found]

    def glance(self) -> dict[str, Any]:
        """The model and how many streams it has; None and 0 before it is loaded."""
        engine = None if self._thread is None else self._thread.engine
        return {
            "model": engine and engine.spec.label,
            "device": engine and str(engine.device),
            "streams": engine.resident if engine else 0,
            "parked": engine.parked if engine else 0,
            "evicted": engine.evicted_total if engine else 0,
            "slab_bytes": engine.slab_bytes if engine else 0,
        }
