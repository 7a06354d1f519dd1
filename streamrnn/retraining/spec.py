"""The spec of the next model: the options given, else the champion's, else defaults. Of data it knows the names."""

import msgspec

from streamrnn.errors import ConfigError, DataError
from streamrnn.nn.spec import (
    CellKind,
    Channel,
    ChannelKind,
    MissingPolicy,
    ModelSpec,
    Precision,
    Predicts,
    TimeFeature,
)

DEFAULT_LAGS = 96
DEFAULT_BOUND = 30.0
PLAIN = (
    "time_features",
    "missing",
    "cell",
    "hidden",
    "layers",
    "horizons",
    "quantiles",
    "predicts",
    "lags",
    "precision",
)
"""Options that go into the spec as they are."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; None: the champion's, else the default; a bound of 0: none."""

    name: str
    features: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    channels: tuple[ChannelKind, ...] | None = None
    time_features: tuple[TimeFeature, ...] | None = None
    missing: MissingPolicy | None = None
    cell: CellKind | None = None
    hidden: int | None = None
    layers: int | None = None
    horizons: tuple[int, ...] | None = None
    quantiles: tuple[float, ...] | None = None
    predicts: Predicts | None = None
    lags: int | None = None
    bound: float | None = None
    precision: Precision | None = None


def make_spec(wanted: Wanted, champion: ModelSpec | None, known: tuple[str, ...]) -> ModelSpec:
    """The next model's spec; known: features the history has (empty: any). DataError where they do not fit."""
    base = champion or _default(wanted.name, wanted.features or known)
    features = wanted.features or (base.features if champion else known) or base.features
    unknown = [name for name in features if known and name not in known]
    if unknown:
        raise DataError(f"the history has no {unknown}; it has {list(known)}")
    changed = {name: value for name in PLAIN if (value := getattr(wanted, name)) is not None}
    targets = wanted.targets or tuple(t for t in base.targets if t in features) or features
    if wanted.channels is not None or features != base.features:
        kinds = wanted.channels or tuple(dict.fromkeys(channel.kind for channel in base.channels))
        changed["channels"] = tuple(Channel(feature, kind) for kind in kinds for feature in features)
    fields = {"name": wanted.name, "features": features, "targets": targets}
    bound = (base.bound or DEFAULT_BOUND) if wanted.bound is None else wanted.bound or None
    return _checked(msgspec.structs.asdict(base) | fields | changed | {"bound": bound, "ranges": None})


def _default(name: str, features: tuple[str, ...]) -> ModelSpec:
    """Every feature predicted one tick ahead, from its change, the time of day and week, and its lags.

    None of these moves when a feature's level drifts away from where it was trained.
    """
    if not features:
        raise ConfigError("which features does a tick have? name them with --features: there is no champion yet")
    return _checked(
        {
            "name": name,
            "features": features,
            "targets": features,
            "channels": tuple(Channel(feature, "difference") for feature in features),
            "time_features": ("hour", "weekday"),
            "hidden": 64,
            "lags": DEFAULT_LAGS,
        }
    )


def _checked(fields: dict[str, object]) -> ModelSpec:
    """A spec that can be written and read again."""
    try:
        return msgspec.convert(msgspec.to_builtins(fields), ModelSpec)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"the model asked for cannot be: {error}") from error
