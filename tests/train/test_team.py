"""Processes that fit together: against one alone, when they resume, and when one of them dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from streamrnn.errors import ConfigError, EngineError
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.train.fit import Fitted, Recipe, fit
from streamrnn.train.history import History, split_each
from streamrnn.train.team import Solo, Team, join_team, spread_bytes

from .histories import history_of, ticks_of

SPEC = ModelSpec(
    name="t", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=8, horizons=(1, 3), lags=2
)
RECIPE = Recipe(epochs=8, chunk=32, width=8, burn_in=16, warm_up=0, learning_rate=0.01)
RECIPES = {
    "first step": replace(RECIPE, epochs=1, chunk=500, longest=100),
    "all steps": RECIPE,
    "one piece": replace(RECIPE, epochs=2, width=1, longest=500),
    "by stream": replace(RECIPE, epochs=2, by_stream=True),
    "dropout": replace(RECIPE, epochs=2, dropout=0.3),
    "short": replace(RECIPE, epochs=2, longest=7),
}
ROOT = Path(__file__).parents[2]


def waves() -> History:
    """Streams of several lengths: their pieces too, so that the ranks have unlike numbers of terms."""
    rng, streams = np.random.default_rng(5), {}
    for n, length in enumerate((300, 211, 90, 33, 5)):
        values = np.sin(np.arange(length) / 3 + n) * (n + 1) + 0.1 * rng.normal(size=length)
        values[rng.random(length) < 0.1] = np.nan
        streams[f"s{n}"] = ticks_of(values)
    return history_of(("x",), streams)


def run(recipe: Recipe, team: Team | None = None, **options: Any) -> Fitted:
    history = waves()
    return fit(SPEC, history, split_each(history, (0.7, 0.2, 0.1)), recipe, team=team, **options)


def told(fitted: Fitted) -> dict[str, Any]:
    """A fit in JSON's values, exactly; without seconds."""
    epochs = [replace(epoch, seconds=0.0) for epoch in fitted.epochs]
    weights = {name: tensor.tolist() for name, tensor in fitted.model.state_dict().items()}
    found: dict[str, Any] = msgspec.to_builtins({"epochs": epochs, "best": fitted.best, "weights": weights})
    return found


def member(folder: Path) -> None:
    """What each rank does in the test of many: every recipe, one again that is kept and resumed, and leaves."""
    said: dict[str, Any] = {}
    seen: list[int] = []
    with join_team(60) as team:
        for name, recipe in RECIPES.items():
            said[name] = told(run(recipe, team))
        kept = folder / "kept" if team.rank == 0 else folder / "nobody else reads it"
        run(replace(RECIPE, epochs=3, budget_s=0.0 if team.rank == 0 else None), team, checkpoint=kept)
        dropout = replace(RECIPES["dropout"], patience=1 if team.rank == 0 else 99)
        run(replace(dropout, budget_s=0.0), team, checkpoint=kept)
        said["resumed"] = told(
            run(dropout, team, checkpoint=kept, resume=True, watch=lambda e: seen.append(e.number))
        )
        said["seen"] = seen
        raw = os.urandom(1000) if team.rank == 0 else None
        said["bytes"] = [
            (spread_bytes(team, b"" if raw else b"x") or b"").hex(),
            (spread_bytes(team, raw) or b"").hex(),
        ]
    said["threads"] = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    (folder / f"{team.rank}.json").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What two processes said, started by torchrun."""
    folder = tmp_path_factory.mktemp("pair")
    code = f"from pathlib import Path; from tests.train.test_team import member; member(Path({str(folder)!r}))"
    script = folder / "member.py"
    script.write_text(code)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(torchrun, cwd=ROOT, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    yield [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert not (folder / "nobody else reads it").exists()


@pytest.mark.parametrize("name", RECIPES)
def test_every_rank_ends_with_the_same_bits(pair: list[dict[str, Any]], name: str) -> None:
    assert pair[0][name] == pair[1][name]


def test_no_thread_of_the_group_outlives_it(pair: list[dict[str, Any]]) -> None:
    """One that does may take the interpreter's lock while Python ends, and then the process aborts."""
    assert [thread for rank in pair for thread in rank["threads"] if "gloo" in thread] == []


@pytest.mark.parametrize("name", ["first step", "one piece", "by stream", "short"])
def test_two_make_the_steps_that_one_alone_would_make(pair: list[dict[str, Any]], name: str) -> None:
    """Losses, norms and weights up to rounding; with one piece at a time, one of the two has none."""
    alone, both = told(run(RECIPES[name])), pair[0][name]
    for one, other in zip(alone["epochs"], both["epochs"], strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    for weight, rows in alone["weights"].items():
        np.testing.assert_allclose(both["weights"][weight], rows, rtol=1e-3, atol=1e-4)


def test_two_reach_the_loss_of_one(pair: list[dict[str, Any]]) -> None:
    alone, both = run(RECIPES["all steps"]).epochs, pair[0]["all steps"]["epochs"]
    assert both[-1]["validation_loss"] == pytest.approx(alone[-1].validation_loss, rel=0.02)
    assert both[-1]["validation_loss"] < 0.5 * both[0]["validation_loss"]


def test_rank_0_says_when_it_is_over_keeps_the_checkpoint_and_is_the_one_who_watches(
    pair: list[dict[str, Any]],
) -> None:
    """Resumed by both from what rank 0 alone has, to the bits of a fit that never stopped."""
    assert pair[0]["resumed"] == pair[1]["resumed"] == pair[0]["dropout"]
    assert (pair[0]["seen"], pair[1]["seen"]) == ([2], [])


def test_bytes_are_spread_whatever_they_are(pair: list[dict[str, Any]]) -> None:
    assert pair[0]["bytes"] == pair[1]["bytes"]
    assert pair[0]["bytes"][0] == ""
    assert len(bytes.fromhex(pair[0]["bytes"][1])) == 1000
    assert [spread_bytes(Solo(), raw) for raw in (None, b"", b"x")] == [None, b"", b"x"]


MORTAL = """
import os, signal, sys
from dataclasses import replace
from tests.train.test_team import RECIPE, run
from streamrnn.errors import StreamrnnError
from streamrnn.train.chunks import ChunkReader
from streamrnn.train.team import join_team

read, calls = ChunkReader.read, []

def deadly(*given):
    calls.append(given)
    if len(calls) == 8 and team.rank == int(sys.argv[1]):
        print("dying", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return read(*given)

ChunkReader.read = deadly
try:
    with join_team(60) as team:
        run(replace(RECIPE, epochs=10_000, patience=10_000), team)
except StreamrnnError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_ends_the_others_at_once_with_a_clear_error(victim: int) -> None:
    """Started by hand, without torchrun to end them."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    ranks = [started([str(victim)], {**place, "RANK": str(rank)}) for rank in (0, 1)]
    try:
        assert ranks[victim].communicate(timeout=60)[0] == "dying\n"
        died = time.monotonic()
        said = ranks[1 - victim].communicate(timeout=60)[1]
        assert time.monotonic() - died < 10
    finally:
        for rank in ranks:
            rank.kill()
    assert ranks[victim].returncode == -signal.SIGKILL
    assert ranks[1 - victim].returncode == 1
    assert f"EngineError: rank {1 - victim} of 2: another rank of the fit is gone, or silent for too long" in said


def started(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", MORTAL, *arguments]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, text=True, **pipes)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment without torchrun's variables."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_torchrun_a_team_is_one(alone: pytest.MonkeyPatch) -> None:
    for size in (None, "1"):
        if size:
            place = {"RANK": "0", "WORLD_SIZE": size, "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
            for name, value in place.items():
                alone.setenv(name, value)
        with join_team() as team:
            assert team == Solo(rank=0, size=1)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"WORLD_SIZE": "2"}, "started by torchrun: RANK, MASTER_ADDR, MASTER_PORT not set"),
        ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "", "MASTER_PORT": "1"}, "torchrun: MASTER_ADDR not set"),
        ({"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK 2 of WORLD_SIZE 2 at"),
        (
            {"RANK": "0", "WORLD_SIZE": "two", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
            "WORLD_SIZE is 'two', not a n",
        ),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "70000"},
            "MASTER_PORT 70000: no such",
        ),
    ],
)
def test_variables_that_do_not_go_together_are_refused(
    alone: pytest.MonkeyPatch, place: dict[str, str], said: str
) -> None:
    for name, value in place.items():
        alone.setenv(name, value)
    with pytest.raises(ConfigError, match=said), join_team():
        pass


def test_others_who_do_not_come_are_not_waited_for_for_ever(alone: pytest.MonkeyPatch) -> None:
    port = str(free_port())
    place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in place.items():
        alone.setenv(name, value)
    with pytest.raises(EngineError, match=f"other ranks did not come to 127.0.0.1:{port} in 1 s"), join_team(1):
        pass
    assert not torch.distributed.is_initialized()
