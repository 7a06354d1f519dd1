"""One text for all that decides what state a stream's ticks make. Knows no state and no disk."""

import hashlib

import msgspec

from streamrnn.config import InputSettings, Settings
from streamrnn.config.input import DEFAULT_BATCH_BYTES
from streamrnn.config.ranges import parse_ranges
from streamrnn.nn.model import Model

LATER: dict[str, object] = {"bound": None, "precision": "float32", "ranges": None}
"""Fields that specs had not always, and what models without them are: their snapshots stay theirs."""
READ = (
    "codec",
    "path",
    "key",
    "stream_field",
    "time_field",
    "time_unit",
    "numbers",
    "max_record_bytes",
)
"""What of `[input]` decides which records are ticks, and whose."""

OTHERWISE = {"records": "list", "tombstones": "forget"}
"""What of `[input]` makes other states; without it the fingerprint is what it was before these options."""


def fingerprint(model: Model, settings: Settings) -> str:
    """The sha256, in hex, of all that decides a state but its ticks.

    That is the model's spec and weights, and the settings that decide which ticks step the model.
    """
    digest = hashlib.sha256()
    spec = {k: v for k, v in msgspec.to_builtins(model.spec).items() if k not in ("name", "version")}
    spec = {k: v for k, v in spec.items() if k not in LATER or v != LATER[k]}
    digest.update(msgspec.json.encode([spec, _deciding(settings)], order="deterministic"))
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + b"\0" + str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _deciding(settings: Settings) -> dict[str, object]:
    """The settings that change which state the same ticks make.

    Dropping or dead-lettering a refused tick is not one of them: either way the tick steps nothing.
    """
    given, engine = settings.input, settings.engine
    refuses = {name: getattr(given, name) != "process" for name in ("duplicates", "out_of_order", "late")}
    read = {name: getattr(given, name) for name in READ}
    if given.max_batch_bytes != DEFAULT_BATCH_BYTES:  # of larger batches no tick is read
        read["max_batch_bytes"] = given.max_batch_bytes
    return (
        read
        | refuses
        | {
            "sequence_field": given.sequence_field,
            "late_after_s": given.late_after_s if refuses["late"] else None,
            "quarantine": [engine.quarantine_after, engine.quarantine_retry],
        }
        | {name: word for name, word in OTHERWISE.items() if getattr(given, name) == word}
        | _outliers(given)
    )


def _outliers(given: InputSettings) -> dict[str, object]:
    """The settings that bound values; empty where outliers are only counted."""
    if given.outliers == "process":
        return {}
    bounds = {name: [str(low), str(high)] for name, (low, high) in parse_ranges(given.ranges).items()}
    return {"outliers": given.outliers, "ranges": bounds}
