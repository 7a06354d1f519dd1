"""What may stand on the command line of `streamrnn retrain`, and what is refused there with its usage."""

import argparse
import re
from collections.abc import Callable
from typing import Any

import pytest

from streamrnn.cli import build_parser, main
from streamrnn.commands import arguments
from streamrnn.commands.flags import given
from streamrnn.retraining.fitting import usual_recipe
from streamrnn.retraining.request import Effort, Excerpt, Judging
from streamrnn.retraining.wanted import WantedModel, make_spec
from streamrnn.train.history import Extent
from streamrnn.train.recipe import Recipe


def parsed(*options: str) -> argparse.Namespace:
    return build_parser().parse_args(["retrain", *options])


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["--horizons", "1,24"], "horizons", (1, 24)),
        (["--horizons", "1-4,7,9-9"], "horizons", (1, 2, 3, 4, 7, 9)),
        (["--quantiles", "0.1,0.5,.9"], "quantiles", (0.1, 0.5, 0.9)),
        (["--targets", "a,b c"], "targets", ("a", "b c")),
        (["--time-features", "none"], "time_features", ()),
        (["--time-features", "hour,weekday"], "time_features", ("hour", "weekday")),
        (["--lags", "0"], "lags", 0),
        (["--split", "0.8,0,0.2"], "split", (0.8, 0.0, 0.2)),
        (["--split", "0.1,0.2,0.7"], "split", (0.1, 0.2, 0.7)),
        (["--weight-decay", "0"], "weight_decay", 0.0),
        (["--margin", "0"], "margin", 0.0),
        (["--max-worse-streams", "0"], "max_worse_streams", 0.0),
        (["--max-worse-streams", "1"], "max_worse_streams", 1.0),
        ([], "max_worse_streams", 0.1),
        (["--no-by-stream"], "by_stream", False),
        ([], "by_stream", None),
        (["--since", "1970-01-01"], "since", 0),
        (["--since", "1970-01-01T01:00:00.5+01:00"], "since", 500),
        (["--offsets", "3:10-20", "--offsets", "4:-5"], "offsets", [(3, 10, 20), (4, None, 5)]),
        (["--offsets", "0:7-"], "offsets", [(0, 7, None)]),
        (["--every", "0.5"], "every", 0.5),
        ([], "split", (0.7, 0.15, 0.15)),
        ([], "promote", "if-better"),
    ],
)
def test_a_value_is_read(options: list[str], name: str, value: Any) -> None:
    assert getattr(parsed(*options), name) == value


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--horizons", value) for value in ("", "0", "-1", "a", "1,", "5-1", "1-", "-3", "1.5", "1-2000000000")],
        *[("--quantiles", value) for value in ("", "a", "0.1;0.9", "0.1,", "nan", "inf")],
        *[("--targets", value) for value in ("", "a,", ",a", "a,,b")],
        *[("--features", value) for value in ("", "a,")],
        *[("--time-features", value) for value in ("", "hour,")],
        *[("--lags", value) for value in ("-1", "a", "0.5")],
        *[("--split", value) for value in ("", "1", "0.5,0.5", "0.5,0.4,0.3", "1.2,-0.4,0.2", "0,0.5,0.5")],
        *[("--split", value) for value in ("0.5,0.5,0", "nan,0.5,0.5", "0.2,0.2,0.2,0.4", "a,b,c")],
        *[("--epochs", value) for value in ("0", "-1", "1.5", "many", "99999999999999999999")],
        *[("--learning-rate", value) for value in ("0", "-1", "nan", "inf", "fast")],
        *[("--weight-decay", value) for value in ("-1", "nan", "inf", "a")],
        *[("--dropout", value) for value in ("1", "-0.1", "nan")],
        *[("--max-worse-streams", value) for value in ("1.1", "-0.1", "nan", "all")],
        *[("--margin", value) for value in ("1", "-0.1", "nan", "all")],
        *[("--budget-s", value) for value in ("0", "nan", "-1")],
        *[("--seed", value) for value in ("0", "a", str(1 << 70))],
        *[("--since", value) for value in ("", "yesterday", "2024-13-01", "12")],
        *[("--offsets", value) for value in ("", "3", "3:5", "a:1-2", "1:a-2", "-1:1-2", "1:1--2")],
        *[("--every", value) for value in ("0", "-1", "a")],
        *[(option, "some") for option in ("--promote", "--cell", "--predicts", "--on-missing", "--loss")],
    ],
)
def test_a_value_that_is_none_is_told_with_the_option_and_the_usage(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["retrain", f"{option}={value}"])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: ")
    assert f"argument {option}: " in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "own"), [("retrain", "--stream-column"), ("replay", "--max-gap"), ("serve", "-h")]
)
def test_the_usage_names_a_commands_own_options_and_that_settings_may_follow(
    command: str, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    usage, rest = capsys.readouterr().out.split("\n\n", 1)
    assert own in usage
    assert usage.endswith("[--config FILE] [--SECTION.OPTION VALUE ...]")
    assert "--kafka.bootstrap" not in usage
    assert "--kafka.bootstrap" in rest


def test_offsets_are_of_topics_and_name_a_partition_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retrain", "some.csv", "--offsets", "0:1-2"]) == 2
    assert main(["retrain", "--offsets", "0:1-2", "--offsets", "0:5-6"]) == 2
    one, two = capsys.readouterr().err.splitlines()
    assert one == "streamrnn: --offsets are a topic's: for files there are --since and --until"
    assert two == "streamrnn: --offsets names a partition twice"


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (arguments.positive, ["1", "0.5", "1e-9"], ["0", "-1", "inf", "nan", ""]),
        (arguments.not_negative, ["0", "2.5"], ["-0.1", "inf", "nan", ""]),
        (arguments.share, ["0", "0.999"], ["1", "-0.1", "nan", ""]),
        (arguments.count, ["1", str((1 << 31) - 1)], ["0", "-1", "1.0", "", str(1 << 31), "9" * 5000]),
    ],
)
def test_a_number_is_within_its_bounds(read: Callable[[str], float], good: list[str], bad: list[str]) -> None:
    assert [read(text) for text in good] == [float(text) for text in good]
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match="is no"):
            read(text)


def shown_defaults(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What --help says stands where an option is not given."""
    with pytest.raises(SystemExit):
        main(["retrain", "--help"])
    words = " ".join(capsys.readouterr().out.partition("\noptions:")[2].split())
    said = re.findall(r" --([a-z-]+)(?:, --no-[a-z-]+)? (?:(?! --)[^(])*\(default: ([^)]*)\)", words)
    return dict(said)


def as_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(as_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_help_says_what_a_model_and_a_fit_have_that_are_asked_for_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = shown_defaults(capsys)
    spec = make_spec(WantedModel(name="m"), None, ("a",))
    model = {name: getattr(spec, name) for name in ("time_features", "cell", "hidden", "layers", "lags", "bound")}
    model |= {name: getattr(spec, name) for name in ("horizons", "quantiles", "predicts")}
    model |= {"on_missing": spec.missing, "channels": spec.channels[0].kind}
    recipe = usual_recipe(spec, [Extent(0, 1000, 0)], 1)
    worked_out = ("width", "loss", "by_stream")
    fit = {
        name: v for name in given(parsed(*every_fit_option()), Recipe) if (v := getattr(recipe, name)) is not None
    }
    expected = {
        name.replace("_", "-"): as_text(value) for name, value in (model | fit).items() if name not in worked_out
    }
    assert len(expected) > 20
    assert {name: shown[name] for name in expected} == expected
    assert shown["width"] == "one for each 540 ticks of training, 4 to 256"
    assert [usual_recipe(spec, [Extent(0, n, 0)], 1).width for n in (1, 54_000, 10**9)] == [4, 100, 256]
    assert (shown["margin"], shown["promote"], shown["split"]) == ("0.01", "if-better", "0.7,0.15,0.15")


def every_fit_option() -> list[str]:
    numbers = ("epochs", "learning-rate", "weight-decay", "clip", "chunk", "width", "burn-in", "patience", "seed")
    given = [f"--{name}=7" for name in (*numbers, "budget-s", "threads")]
    return [*given, "--dropout=0.7", "--average=0.7", "--loss=mae", "--no-by-stream"]


def test_what_is_given_is_what_the_job_is_asked_for_and_nothing_else() -> None:
    assert given(parsed(), Recipe) == given(parsed(), WantedModel) == {}
    sevens = dict.fromkeys(("epochs", "chunk", "width", "burn_in", "patience", "seed", "threads"), 7)
    sevens |= dict.fromkeys(("learning_rate", "weight_decay", "clip", "budget_s"), 7.0)
    others = {"dropout": 0.7, "average": 0.7, "loss": "mae", "by_stream": False}
    assert given(parsed(*every_fit_option()), Recipe) == sevens | others
    assert given(parsed("--on-missing", "mask", "--bound", "0"), WantedModel) == {"missing": "mask", "bound": 0.0}
    assert given(parsed("--search", "3", "--resume"), Effort) == {"trials": 3, "resume": True}
    asked = given(parsed("--promote", "never", "--season", "24"), Judging)
    assert Judging(**asked) == Judging(policy="never", season=24)
    excerpt = Excerpt(**given(parsed("--offsets", "3:10-20", "--since", "1970-01-02", "--split-each"), Excerpt))
    assert excerpt == Excerpt(offsets=((3, 10, 20),), since_ms=86_400_000, split_each=True)


@pytest.mark.parametrize("command", ["retrain", "replay", "verify", "serve", "config"])
def test_a_commands_own_options_come_before_the_settings(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out.partition("\noptions:")[2]
    own, title, settings = shown.partition("\nsettings: ")
    assert title
    assert re.findall(r"^  --[a-z_]+\.", own, re.M) == []
    flags = re.findall(r"^  --([a-z_.]+)", settings, re.M)
    assert flags[0] == "config"
    assert all("." in name for name in flags[1:])
    assert len(flags) > 60
