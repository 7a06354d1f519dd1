"""What [retrain] takes and refuses, and which settings a job has that the daemon starts."""

import asyncio
import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from streamrnn.config import RetrainSettings, load_settings
from streamrnn.errors import ConfigError
from streamrnn.metrics import Metrics
from streamrnn.retrainer import Retrainer

SECRET = "hunter2"


@pytest.mark.parametrize("token", ["", " ", f" {SECRET}", f"{SECRET}\n", f"{SECRET}é", f"{SECRET}\x00"])
def test_a_token_that_no_header_carries_is_refused_without_being_told(token: str) -> None:
    for key in ("retrain.token", "model.token"):
        with pytest.raises(ConfigError, match=rf"{key}: must be printable ASCII") as refused:
            load_settings(overrides={key: token})
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize("command", ["", "  ", "'open"])
def test_a_command_without_words_or_with_an_open_quote_is_refused(command: str) -> None:
    with pytest.raises(ConfigError, match=r"retrain\.command: "):
        load_settings(overrides={"retrain.command": command})


async def test_the_job_loads_the_daemons_settings_wherever_they_came_from_but_not_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("STREAMRNN_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STREAMRNN_KAFKA__GROUP", "over")
    monkeypatch.setenv("STREAMRNN_INPUT__TOPIC", "of the environment")
    monkeypatch.setenv("STREAMRNN_RETRAIN__TOKEN", SECRET)
    monkeypatch.setenv("STREAMRNN_TEST_ODD", "kept")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "retrain__token").write_text("of a file")
    (tmp_path / "secrets" / "kafka__oauth_token").write_text("handed on")
    monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(tmp_path / "secrets"))
    toml = tmp_path / "streamrnn.toml"
    toml.write_text('[output]\ncompression = "zstd"\n[kafka]\nssl_check_hostname = false\n[model]\npath = "m"\n')
    flags = {"kafka.sasl_password": "p w'\"é", "kafka.group": "streamrnn", "limits.dead_letter_share": "0.1"}
    program = "import os; from streamrnn.config import load_settings as l; s = l(); print(s.model_dump_json()); "
    program += "print([k for k, v in os.environ.items() if 'hunter2' in v], os.environ['STREAMRNN_TEST_ODD'], "
    program += "ascii(s.kafka.sasl_password.get_secret_value()[::-1]))"
    flags["retrain.command"] = shlex.join([sys.executable, "-c", program])
    settings = load_settings(toml, flags)
    assert settings.retrain.token is not None
    retrainer = Retrainer(settings, Metrics())
    await retrainer.start()
    async with asyncio.timeout(20):
        while retrainer.is_running():
            await asyncio.sleep(0.01)
    state = retrainer.state()
    assert state["state"] == "succeeded", state
    loaded, seen = state["lines"]
    assert json.loads(loaded) == settings.model_dump(mode="json") | {"retrain": RetrainSettings().model_dump()}
    assert seen == "[] kept " + ascii("p w'\"é"[::-1])
