"""`input.outliers` on a broker: what a history holds is what the service steps, from a topic as from a file."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from streamrnn.ticks import OutRecord

from .conftest import SettingsFactory
from .test_from_topic import HOUR_AGO_MS, gather, stepped, written
from .test_source_and_sink import publish

GLITCHES = {11: -9999.0, 70: 1e30, 170: -999.0, 195: 65535.0}
FIT = ("--no-live", "--epochs=1", "--hidden=4", "--lags=3", "--ridge-lags=4", "--width=64", "--burn-in=16")


def temps() -> list[float]:
    """A wave about 20 with a glitch in each part of a history."""
    clean = 20 + np.sin(np.arange(200) / 5) + np.random.default_rng(1).normal(size=200) / 20
    return [GLITCHES.get(n, temp) for n, temp in enumerate(clean.tolist())]


@pytest.mark.parametrize("policy", ["process", "clip", "missing", "dead-letter"])
async def test_a_history_from_a_topic_is_what_a_service_steps(settings: SettingsFactory, policy: str) -> None:
    bounded = {"outliers": policy, "ranges": "temp=-50:60"}
    s = await settings(partitions=1, http={"enabled": False}, input=bounded)
    await publish(s, written([{"time": n, "temp": temp, "load": 0} for n, temp in enumerate(temps())]))
    ticks, refused = await stepped(s, 200)
    collected, streams = await gather(s)
    assert streams == {"a": ticks[0, b"a"]}
    assert len(streams["a"]) == (196 if policy == "dead-letter" else 200)
    assert collected.dead_letters == refused == ({"outlier": 4} if policy == "dead-letter" else {})
    assert collected.outliers == {"temp": 4, "load": 0}


@pytest.mark.parametrize(
    "policy",
    [
        "dead-letter",
        pytest.param("process", marks=pytest.mark.chaos),
        pytest.param("missing", marks=pytest.mark.chaos),
    ],
)
async def test_retrain_makes_the_same_model_from_a_topic_as_from_a_file(
    settings: SettingsFactory, policy: str, tmp_path: Path
) -> None:
    """By the new model's own bounds, that is."""
    s = await settings(partitions=1)
    file, folders = tmp_path / "a.csv", (tmp_path / "file", tmp_path / "topic")
    lines = [f"{HOUR_AGO_MS + 1000 * n},{temp}" for n, temp in enumerate(temps())]
    file.write_text("\n".join(["time,temp", *lines]))
    values: list[Any] = [{"temp": temp, "time": HOUR_AGO_MS + 1000 * n} for n, temp in enumerate(temps())]
    await publish(s, [OutRecord(0, v["time"], b"a", json.dumps(v).encode()) for v in values])
    where = (f"--kafka.bootstrap={s.kafka.bootstrap}", f"--input.topic={s.input.topic}", "--features=temp")
    for source, folder in zip(((str(file),), ()), folders, strict=True):
        options = (*source, *where, *FIT, f"--input.outliers={policy}", f"--bundle={folder}")
        command = (sys.executable, "-m", "streamrnn", "retrain", *options)
        assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
    one, two = (load_file(folder / "model.safetensors") for folder in folders)
    assert {name: tensor.tolist() for name, tensor in one.items()} == {n: t.tolist() for n, t in two.items()}
    specs = [json.loads((folder / "model.json").read_text())["spec"] for folder in folders]
    assert specs[0] == specs[1]
    [[low, high]] = specs[0]["ranges"]
    assert -100 < low < 0 < 40 < high < 100
