"""What a model is judged by is what the service publishes: the same bits for the ticks of the same file."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamrnn.config import Settings
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.retraining.forecaster import Served
from streamrnn.tables.description import TableColumns
from streamrnn.tables.reading import read_table
from streamrnn.ticks import OutRecord
from streamrnn.train.history import Extent, Spool, extents
from streamrnn.train.windows import windows_of

from .conftest import SettingsFactory
from .test_end_to_end import SYMBOLS, predictions, publish, served, stock_ticks, ticks_done, until

HORIZONS, QUANTILES = (1, 2, 5), ("0.1", "0.5", "0.9")
SPEC = ModelSpec(
    name="stocks",
    features=("volume", "close"),
    targets=("close", "volume"),
    channels=(Channel("close", "difference"), Channel("volume", "level")),
    time_features=("weekday", "log_gap"),
    missing="mask",
    hidden=20,
    layers=2,
    horizons=HORIZONS,
    quantiles=tuple(map(float, QUANTILES)),
    lags=6,
)


def make_model() -> Model:
    torch.manual_seed(5)
    model = Model(SPEC)
    deviation = np.array([[6.0, 1e7]] * len(HORIZONS))
    model.set_stats(channel_mean=[0, 2e7], channel_std=[5, 2e7], feature_mean=[2e7, 100], target_std=deviation)
    torch.nn.init.normal_(model.head.weight, std=0.3)
    return model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Days of five stocks side by side, one missing number in seven."""
    path = tmp_path / "stocks.csv"
    with path.open("w", newline="") as target:
        rows = csv.writer(target)
        rows.writerow(["symbol", "time", "close", "volume"])
        for n, (symbol, time_ms, close, volume) in enumerate(stock_ticks(80)):
            rows.writerow([symbol, time_ms, close if n % 7 else "", volume if n % 7 != 3 else ""])
    return path


def records_of(path: Path) -> list[OutRecord]:
    """The file's rows as a producer would send them: a missing number is not in the value."""
    found = []
    with path.open(newline="") as source:
        for row in csv.DictReader(source):
            numbers = {name: float(row[name]) for name in ("close", "volume") if row[name]}
            value = json.dumps({"time": int(row["time"]), **numbers}).encode()
            partition = SYMBOLS.index(row["symbol"]) % 2
            found.append(OutRecord(partition, int(row["time"]), row["symbol"].encode(), value))
    return found


def judged(path: Path, model: Model) -> dict[str, NDArray[np.float32]]:
    """By stream what the judge is told: (n, K, O, Q) at every tick but the last ones, whose truth is not there."""
    table = read_table(path, TableColumns(stream=("symbol",), features=SPEC.features))
    with Spool(SPEC.features) as spool:
        for batch in table:
            spool.add(*batch)
        history = spool.history()
        assert np.isnan(history.values).any()
        whole = [Extent(start, stop, start) for start, stop in extents(history)]
        [windows] = windows_of(history, whole, SPEC.targets, HORIZONS, 1 << 20)
        said = Served("new", "model", model, HORIZONS).forecast(history, windows)
        return {name: said[windows.streams == number] for number, name in enumerate(history.streams)}


def numbers_of(prediction: dict[str, Any]) -> list[list[list[float]]]:
    """(K, O, Q) of a published record."""
    levels = [prediction["quantiles"][level] for level in QUANTILES]
    return [[[level[t][k] for level in levels] for t in SPEC.targets] for k in range(len(HORIZONS))]


async def test_the_service_publishes_what_the_judge_is_told_to_the_bit(
    settings: SettingsFactory, file: Path
) -> None:
    made = await settings(partitions=2)
    ready: Settings = made.model_copy(update={"http": made.http.model_copy(update={"port": 0})})
    records = records_of(file)
    await publish(ready, records)
    async with served(ready, make_model()) as service:
        await until(lambda: ticks_done(service) >= len(records))
    counts = {n: sum(record.partition == n for record in records) for n in (0, 1)}
    found = await predictions(ready, counts)
    assert len(found) == len(records)
    expected = judged(file, make_model())
    assert set(expected) == set(SYMBOLS)
    for symbol, said in expected.items():
        published = np.array([numbers_of(f) for f in found if f["stream"] == symbol], np.float32)
        assert len(published) == 80 == len(said) + max(HORIZONS)
        assert math.isfinite(said.sum())
        assert published[: len(said)].tobytes() == said.tobytes()
