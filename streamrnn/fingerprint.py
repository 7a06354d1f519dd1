"""One text for all that decides what state a stream's ticks make. Knows no state and no disk."""

import hashlib

import msgspec

from streamrnn.config import Settings
from streamrnn.nn.model import Model

_DECIDING = {
    "input": (
        "codec", "stream_field", "time_field", "max_record_bytes", "sequence_field", "duplicates", "out_of_order",
        "late", "late_after_s",
    ),
    "engine": ("quarantine_after", "quarantine_retry"),
}  # fmt: skip
"""Settings under which the same ticks make other states."""


def fingerprint(model: Model, settings: Settings) -> str:
    """sha256, hex, of the model's spec and weights and of the settings that decide which ticks step it."""
    digest = hashlib.sha256()
    deciding = {section: {n: getattr(getattr(settings, section), n) for n in names}
                for section, names in _DECIDING.items()}  # fmt: skip
    spec = {k: v for k, v in msgspec.to_builtins(model.spec).items() if k not in ("name", "version")}
    digest.update(msgspec.json.encode([spec, deciding], order="deterministic"))
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + b"\0" + str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
