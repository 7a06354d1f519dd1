"""The next model's spec: what is asked for, else the champion's, else a default."""

from typing import Any

import msgspec
import pytest

from streamrnn.errors import ConfigError, DataError, StreamrnnError
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.retraining.wanted import DEFAULT_BOUND, DEFAULT_LAGS, WantedModel, make_spec

CHAMPION = ModelSpec(
    name="oil",
    version=7,
    features=("a", "b"),
    targets=("b",),
    channels=(Channel("a", "log_return"), Channel("b")),
    time_features=("log_gap",),
    missing="mask",
    cell="lstm",
    hidden=12,
    layers=2,
    horizons=(1, 24),
    quantiles=(0.1, 0.9),
    predicts="log_change",
    lags=5,
    bound=20.0,
)


def spec(champion: ModelSpec | None, known: tuple[str, ...], **wanted: Any) -> ModelSpec:
    return make_spec(WantedModel(name="oil", **wanted), champion, known)


def test_a_model_has_a_bound_unless_none_is_asked_for_even_after_a_champion_without() -> None:
    unbounded = msgspec.structs.replace(CHAMPION, bound=None)
    assert [spec(champion, ("a", "b")).bound for champion in (None, CHAMPION, unbounded)] == [
        DEFAULT_BOUND,
        20.0,
        DEFAULT_BOUND,
    ]
    assert [spec(CHAMPION, ("a", "b"), bound=bound).bound for bound in (0.0, 5.0)] == [None, 5.0]


def test_without_a_champion_every_feature_is_predicted_one_tick_ahead() -> None:
    made = spec(None, ("a", "b"))
    assert (made.features, made.targets, made.horizons) == (("a", "b"), ("a", "b"), (1,))
    assert {channel.feature for channel in made.channels} == {"a", "b"}
    assert (made.lags, made.quantiles, made.predicts) == (DEFAULT_LAGS, (), "change")


def test_what_is_not_asked_for_is_the_champions() -> None:
    assert spec(CHAMPION, ("b", "a", "c")) == spec(CHAMPION, ()) == CHAMPION


OPTIONS = {
    "targets": ("a",), "time_features": (), "missing": "carry", "cell": "gru", "hidden": 3, "layers": 1,
    "horizons": (2, 3), "quantiles": (0.5,), "predicts": "level", "lags": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_asked_for_is_changed_and_nothing_else(name: str) -> None:
    made = spec(CHAMPION, ("a", "b"), **{name: OPTIONS[name]})
    assert made == msgspec.structs.replace(CHAMPION, **{name: OPTIONS[name]})
    assert made != CHAMPION


def test_channels_are_of_every_feature() -> None:
    made = spec(CHAMPION, ("a", "b"), channels=("level", "difference"))
    assert {(channel.feature, channel.kind) for channel in made.channels} == {
        ("a", "level"),
        ("b", "level"),
        ("a", "difference"),
        ("b", "difference"),
    }
    assert msgspec.structs.replace(made, channels=CHAMPION.channels) == CHAMPION


def test_other_features_have_the_champions_kinds_of_channels_and_those_of_its_targets_that_are_left() -> None:
    made = spec(CHAMPION, ("b", "c", "d"), features=("c", "b"))
    assert (made.features, made.targets) == (("c", "b"), ("b",))
    assert {(channel.feature, channel.kind) for channel in made.channels} == {
        ("c", "log_return"),
        ("b", "log_return"),
        ("c", "level"),
        ("b", "level"),
    }
    assert spec(CHAMPION, ("c",), features=("c",)).targets == ("c",)


def test_a_name_is_the_next_models_even_where_the_champion_has_another() -> None:
    assert make_spec(WantedModel(name="gas"), CHAMPION, ()).name == "gas"


@pytest.mark.parametrize(
    ("champion", "known", "wanted", "error", "said"),
    [
        (CHAMPION, ("a", "c"), {}, DataError, r"no \['b'\]; it has \['a', 'c'\]"),
        (None, ("a",), {"features": ("a", "x")}, DataError, r"no \['x'\]"),
        (None, (), {}, ConfigError, "--features"),
        (CHAMPION, (), {"targets": ("x",)}, ConfigError, "'x'"),
        (CHAMPION, (), {"features": ("a", "a")}, ConfigError, "each once"),
        (None, ("a",), {"quantiles": (0.9, 0.1)}, ConfigError, "quantiles must ascend"),
        (None, ("a",), {"quantiles": (0.0, 0.5)}, ConfigError, "quantiles lie between 0 and 1"),
        (None, ("a",), {"horizons": (5, 1)}, ConfigError, "horizons must ascend"),
        (None, ("a",), {"horizons": (1, 70_000)}, ConfigError, "horizons"),
        (None, ("a",), {"hidden": 100_000}, ConfigError, "hidden"),
        (None, ("a",), {"lags": 5000}, ConfigError, "lags"),
        (None, ("a",), {"channels": ("lvl",)}, ConfigError, "'lvl'"),
        (None, ("a",), {"time_features": ("minute",)}, ConfigError, "'minute'"),
        (None, ("a" * 201,), {}, ConfigError, "features"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_fitted(
    champion: ModelSpec | None,
    known: tuple[str, ...],
    wanted: dict[str, Any],
    error: type[StreamrnnError],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        spec(champion, known, **wanted)


@pytest.mark.parametrize("champion", [CHAMPION, None])
def test_a_spec_that_is_made_can_be_written_and_read_again(champion: ModelSpec | None) -> None:
    made = spec(champion, ("a", "b"), quantiles=(0.2, 0.8), horizons=(1, 5))
    assert msgspec.json.decode(msgspec.json.encode(made), type=ModelSpec) == made
