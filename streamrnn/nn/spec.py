"""What a model is, in words: the part of a bundle that `model.json` holds. Knows no tensors.

Stats (mean, standard deviation) are weights, not spec: they live beside the matrices in the safetensors file.
"""

import math
from typing import Annotated, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=1, le=65536)]

CellKind = Literal["elman", "gated", "gru", "lstm", "mingru"]
ChannelKind = Literal["level", "difference", "log_return"]
TimeFeature = Literal["hour", "weekday", "log_gap"]
MissingPolicy = Literal["carry", "mask", "reject"]
Predicts = Literal["change", "level", "log_change"]
Precision = Literal["float32", "float64"]
LossName = Literal["mse", "mae", "huber", "pinball"]


def middle_of(levels: int) -> int:
    """Which of so many ascending quantiles stands for all: the median of an odd number, the upper of two."""
    return levels // 2


class Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input column of the network: a feature as it is, its difference, or its log return."""

    feature: Name
    kind: ChannelKind = "level"


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that fixes the shapes and the arithmetic of a model but its numbers.

    features: F names read from a tick.
    targets: O names, each one of the features.
    channels: the network's value inputs, standardised by stored statistics.
    time_features: hour and weekday give sine and cosine (2 columns each); log_gap gives one column, ln(1 + seconds
    since the stream's last tick).
    missing: what a NaN feature means.
    horizons: K numbers of ticks ahead, ascending.
    quantiles: Q ascending levels, empty for a point head.
    predicts: what a head's number is beside the last value (nn/heads.py).
    lags: P, how many of each target's last values, relative to the newest, go straight to its own outputs beside
    what the cells say (an autoregressive skip: Lai et al. 2018); 0 for none.
    bound: an input beyond so many of its training deviations is unknown, that is 0, and a truth beyond so many
    counts in no score; None for no bound. Where streams differ in size, the statistics say how many that is
    (train/standardising.py).
    precision: of values, of what is carried of them and of predictions; float64 for a feature whose steps float32
    does not hold (a meter at 987,654,324). The network's inputs and its own state are float32.
    ranges: low and high of each feature, far outside of what was trained on, None where nothing tells
    (train/trained_ranges.py); `input.outliers` says what becomes of values beyond.
    """

    name: Name
    version: Annotated[int, msgspec.Meta(ge=1)] = 1
    features: tuple[Name, ...]
    targets: tuple[Name, ...]
    channels: tuple[Channel, ...]
    time_features: tuple[TimeFeature, ...] = ()
    missing: MissingPolicy = "carry"
    cell: CellKind = "gru"
    hidden: Count = 64
    layers: Count = 1
    horizons: tuple[Count, ...] = (1,)
    quantiles: tuple[float, ...] = ()
    predicts: Predicts = "change"
    lags: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    bound: Annotated[float, msgspec.Meta(gt=1)] | None = None
    precision: Precision = "float32"
    ranges: tuple[tuple[float, float] | None, ...] | None = None

    @property
    def label(self) -> str:
        """`name@version`, as it stands in predictions, headers and metrics."""
        return f"{self.name}@{self.version}"

    @property
    def input_width(self) -> int:
        """D: columns the first cell sees."""
        masks = len(self.features) if self.missing == "mask" else 0
        time = sum(1 if kind == "log_gap" else 2 for kind in self.time_features)
        return len(self.channels) + time + masks

    @property
    def target_columns(self) -> tuple[int, ...]:
        """(O,) the targets' places among the features."""
        return tuple(self.features.index(target) for target in self.targets)

    @property
    def channel_columns(self) -> tuple[int, ...]:
        """(C,) the place of each channel's feature."""
        return tuple(self.features.index(channel.feature) for channel in self.channels)

    @property
    def levels(self) -> int:
        """Q: numbers said of each target and horizon, 1 for a point head."""
        return max(1, len(self.quantiles))

    @property
    def middle(self) -> int:
        """Which of them is the prediction."""
        return middle_of(self.levels)

    @property
    def scored_horizons(self) -> tuple[int, ...]:
        """K' horizons whose predictions are kept until their truth comes: all up to 8, else first and last."""
        return self.horizons if len(self.horizons) <= 8 else (self.horizons[0], self.horizons[-1])

    def __post_init__(self) -> None:
        """Refuse what the types cannot: duplicates, unknown names, disorder."""
        for what, names in (("features", self.features), ("targets", self.targets)):
            if not names or len(set(names)) != len(names):
                raise ValueError(f"{what} must be named, each once: {list(names)}")
        known = set(self.features)
        unknown = [t for t in self.targets if t not in known]
        unknown += [c.feature for c in self.channels if c.feature not in known]
        if unknown:
            raise ValueError(f"not among the {len(known)} features {list(self.features)[:20]}: {unknown[:20]}")
        if not self.input_width:
            raise ValueError("a model needs at least one channel or time feature")
        for what, values in (("horizons", self.horizons), ("quantiles", self.quantiles)):
            if list(values) != sorted(set(values)):
                raise ValueError(f"{what} must ascend, each once: {list(values)}")
        if not self.horizons:
            raise ValueError("horizons must not be empty")
        if self.ranges is not None and len(self.ranges) != len(self.features):
            raise ValueError(f"{len(self.ranges)} ranges for {len(self.features)} features")
        odd = [list(of) for of in self.ranges or () if of is not None and not -math.inf < of[0] < of[1] < math.inf]
        if odd:
            raise ValueError(f"ranges lead from a low number to a higher one: {odd[:5]}")
        if any(not 0 < q < 1 for q in self.quantiles):
            raise ValueError(f"quantiles lie between 0 and 1: {list(self.quantiles)}")
