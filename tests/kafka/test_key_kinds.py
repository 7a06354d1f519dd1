"""Keys that are numbers, values in a change-data envelope: shown as numbers everywhere, kept as bytes."""

import asyncio
import json
import signal
import sys
from pathlib import Path

from streamrnn.config import Settings
from streamrnn.nn.bundle import save_bundle
from streamrnn.ticks import OutRecord

from .conftest import SettingsFactory
from .served import start
from .test_end_to_end import make_model, predictions, publish
from .test_verify import command

NUMBERS = (17, 127, 128, 200, 255, 256, 384)
_MAIN = "import sys; from streamrnn.cli import main; sys.exit(main())"


def changes(each: int) -> list[OutRecord]:
    """Rows of a table as Debezium writes their changes, each of seven sensors in turn."""
    sent = []
    for n in range(each * len(NUMBERS)):
        number = NUMBERS[n % len(NUMBERS)]
        row = {"time": 1_700_000_000_000 + 1000 * n, "close": 100.0 + number + n, "volume": 1e6}
        value = json.dumps({"payload": {"before": None, "after": row, "op": "u"}}).encode()
        sent.append(OutRecord(0, 1_700_000_000_000 + n, number.to_bytes(8, "big"), value))
    return sent


async def inspected(url: str, stream: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MAIN, "inspect", stream, "--url", url, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_keys_that_are_numbers_are_shown_as_numbers_from_end_to_end(
    settings: SettingsFactory, tmp_path: Path
) -> None:
    made: Settings = await settings(1, input={"key": "int64", "path": "payload.after"})
    save_bundle(make_model(), tmp_path / "model")
    sent = changes(5)
    async with start(made, tmp_path / "model") as daemon:
        await daemon.until_ready()
        await publish(made, sent)
        await daemon.until_metric("streamrnn_ticks_total", len(sent))
        status, body = await daemon.get("/streams?prefix=2")
        assert (status, sorted(row["stream"] for row in json.loads(body))) == (200, ["200", "255", "256"])
        status, body = await daemon.get("/streams/pump")
        assert (status, "input.key = int64" in body) == (400, True)
        assert (await daemon.get("/streams/18"))[0] == 404
        port = daemon.log().split("http on 127.0.0.1:")[1].split()[0]
        code, said = await inspected(f"http://127.0.0.1:{port}", "200")
        assert (code, json.loads(said)["stream"], json.loads(said)["steps"]) == (0, "200", 5)
        assert await daemon.stop(signal.SIGTERM) == 0
    found = await predictions(made, {0: len(sent) + 50})
    assert [(row["stream"], row["key"]) for row in found] == [
        (str(int.from_bytes(record.key, "big")), record.key) for record in sent
    ]
    flags = ("--input.key=int64", "--input.path=payload.after", "--json")
    code, said, complained = await command(made, tmp_path / "model", *flags)
    assert (code, complained) == (0, ""), said
    assert f"clean: {len(sent)} predictions are as recomputed" in said
