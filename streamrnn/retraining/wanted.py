"""The spec of the next model: the options given, else the champion's, else defaults. Of data it knows the names."""

from typing import Annotated

import msgspec
from msgspec import Meta, field

from streamrnn.errors import ConfigError, DataError
from streamrnn.nn.spec import (
    CellKind,
    Channel,
    ChannelKind,
    Count,
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


Some = Meta(min_length=1)


class WantedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; None: the champion's, else the usual; a bound of 0: none.

    A field with a description is an option of `streamrnn retrain`; features is one of what is where in a file.
    """

    name: Annotated[str, Meta(description="the model's name in the registry")]
    features: tuple[str, ...] | None = None
    targets: Annotated[Annotated[tuple[str, ...], Some] | None, Meta(description="features to predict")] = None
    channels: Annotated[
        Annotated[tuple[ChannelKind, ...], Some] | None,
        Meta(description="of each feature: level, difference, log_return"),
    ] = None
    time_features: Annotated[
        tuple[TimeFeature, ...] | None, Meta(description="hour, weekday, log_gap; none for none")
    ] = None
    missing: Annotated[MissingPolicy | None, Meta(description="what a missing feature means")] = field(
        default=None, name="on_missing"
    )
    cell: Annotated[CellKind | None, Meta(description="kind of its recurrent layers")] = None
    hidden: Annotated[Count | None, Meta(description="units of each layer")] = None
    layers: Annotated[Count | None, Meta(description="layers, one on the other")] = None
    lags: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="last values that go straight to the output; 0 for none"),
    ] = None
    bound: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="deviations, above 1, beyond which an input is unknown; 0: none"),
    ] = None
    horizons: Annotated[
        Annotated[tuple[Count, ...], Some] | None,
        Meta(title="1,24", description="ticks ahead; 1-96 for all of them"),
    ] = None
    quantiles: Annotated[
        tuple[float, ...] | None, Meta(title="0.1,0.5,0.9", description="a head of quantiles; none for a point")
    ] = None
    predicts: Annotated[Predicts | None, Meta(description="what the head's numbers are")] = None
    precision: Precision | None = None


USUAL = WantedModel(
    name="model",
    channels=("difference",),
    time_features=("hour", "weekday"),
    missing="carry",
    cell="gru",
    hidden=64,
    layers=1,
    horizons=(1,),
    quantiles=(),
    predicts="change",
    lags=DEFAULT_LAGS,
    bound=DEFAULT_BOUND,
)
"""What a model has that has no champion before it and was asked for nothing.

Every feature is predicted one tick ahead, from its change, the time of day and week, and its lags: none of these
moves when a feature's level drifts away from where it was trained.
"""


def make_spec(wanted: WantedModel, champion: ModelSpec | None, known: tuple[str, ...]) -> ModelSpec:
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
    """The usual model of these features."""
    if not features:
        raise ConfigError("which features does a tick have? name them with --features: there is no champion yet")
    usual = {option: value for option in PLAIN if (value := getattr(USUAL, option)) is not None}
    channels = tuple(Channel(feature, kind) for kind in USUAL.channels or () for feature in features)
    return _checked(usual | {"name": name, "features": features, "targets": features, "channels": channels})


def _checked(fields: dict[str, object]) -> ModelSpec:
    """A spec that can be written and read again."""
    try:
        return msgspec.convert(msgspec.to_builtins(fields), ModelSpec)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"the model asked for cannot be: {error}") from error
