"""The systemd unit: systemd takes it, it is shut in, and what it names streamrnn has."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from streamrnn.config import load_settings, options
from streamrnn.config.loading import SECRETS_DIR
from streamrnn.errors import BundleError, ConfigError, StateError, WorkerFenced
from streamrnn.process.stopping import LONGEST_JOIN_S
from tests.test_deploy import ROOT, command

FOLDER = ROOT / "deploy/systemd"
UNIT = FOLDER / "streamrnn.service"
MOST_EXPOSED = 1.6
"""Of 10, as systemd-analyze sees it."""
systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze on the path (systemd)"
)


def directives(path: Path) -> dict[str, list[str]]:
    """Every key and its values, whatever the section."""
    found = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def only(name: str) -> str:
    [value] = directives(UNIT)[name]
    return value


def run(*arguments: object) -> str:
    done = subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@systemd
def test_systemd_takes_the_unit_without_a_word(tmp_path: Path) -> None:
    """The package is not installed where tests run: only what begins it is put in its place."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/streamrnn/bin/streamrnn", "/bin/true")
    (tmp_path / "streamrnn.service").write_text(text, encoding="utf-8")
    said = run("verify", "--man=no", tmp_path / "streamrnn.service")
    assert "streamrnn.service" not in said, said


@systemd
def test_systemd_finds_it_shut_in(tmp_path: Path) -> None:
    said = run("security", "--offline=true", "--no-pager", f"--threshold={int(MOST_EXPOSED * 10)}", UNIT)
    assert "Overall exposure level" in said


def test_it_runs_a_command_of_ours_on_the_sample_settings() -> None:
    program, verb, *flags = only("ExecStart").split()
    assert Path(program).name == "streamrnn"
    parsed = command(verb).parse_args(flags)
    assert parsed.config == Path("/etc/streamrnn") / (FOLDER / "streamrnn.toml").name
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if shown := re.search(r"bin/streamrnn (.*)$", line):
            verb, *flags = shown[1].split()
            command(verb).parse_args(flags)


def test_the_sample_settings_load_and_keep_everything_where_it_may_write() -> None:
    loaded = load_settings(FOLDER / "streamrnn.toml")
    assert only("ProtectSystem") == "strict"
    for where in (loaded.model.registry, loaded.snapshots.url):
        assert str(where).startswith(f"/var/lib/{only('StateDirectory')}/")
    assert int(only("TimeoutStopSec")) >= loaded.limits.shutdown_budget_s + LONGEST_JOIN_S + 5
    assert f"NUMBA_CACHE_DIR=%C/{only('CacheDirectory')}" in directives(UNIT)["Environment"]


def test_it_is_not_begun_anew_where_that_would_change_nothing() -> None:
    hopeless = {kind.exit_code for kind in (ConfigError, BundleError, StateError, WorkerFenced)}
    assert {int(code) for code in only("RestartPreventExitStatus").split()} == hopeless
    assert only("Restart") == "on-failure"


def test_secrets_are_credentials_named_as_options() -> None:
    given = directives(FOLDER / "secrets.conf")
    secrets = {f"{option.section}__{option.name}" for option in options() if option.secret}
    for credential in given["LoadCredential"]:
        name, _, path = credential.partition(":")
        assert name in secrets
        assert Path(path).name == name
    assert given["Environment"] == [f"{SECRETS_DIR}=%d"]


def test_the_user_is_the_one_that_is_made() -> None:
    kind, name, *_ = (FOLDER / "streamrnn.sysusers").read_text(encoding="utf-8").split()
    assert (kind, name) == ("u", only("User"))
