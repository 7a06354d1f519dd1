"""The compose file: what it starts exists, is pinned, waits for what it needs, and mounts our own files."""

import gzip
import importlib.util
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamrnn.config import load_settings, options
from streamrnn.config.loading import SECRETS_DIR
from streamrnn.process.stopping import LONGEST_JOIN_S
from tests.test_deploy import ROOT, VARIABLES, alertmanager, command

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
SETTINGS = DEPLOY / "compose/streamrnn.toml"
OURS = {name: each for name, each in SERVICES.items() if each["image"].startswith("streamrnn:")}


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where in the container, and what is there: a file of the repository, or a volume's name."""
    return {target: source for source, target, *_ in (each.split(":") for each in service.get("volumes", ()))}


def commands(name: str) -> list[list[str]]:
    """What a service runs of ours, in words."""
    service = SERVICES[name]
    script = service.get("entrypoint", [""])[-1]
    found = [shlex.split(line.removeprefix("exec ")) for line in script.splitlines() if "streamrnn re" in line]
    return [line[1:] for line in found] or ([service["command"]] if service["command"] else [])


def test_images_are_pinned_and_the_daemons_is_built_from_here() -> None:
    for name, each in SERVICES.items():
        tag = each["image"].rpartition(":")[2]
        assert name in OURS or re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
    for each in OURS.values():
        assert (DEPLOY / each["build"]["context"] / "Dockerfile").exists()
        arguments = re.findall(
            r"^ARG (\w+)=", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        assert each["build"]["args"].keys() <= set(arguments)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_in_the_repository_or_a_volume(name: str) -> None:
    for source in mounts(SERVICES[name]).values():
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_who_waits_waits_for_a_service_that_can_get_so_far(name: str) -> None:
    for other, waited in SERVICES[name].get("depends_on", {}).items():
        if waited["condition"] == "service_completed_successfully":
            assert "restart" not in SERVICES[other]
        else:
            assert waited["condition"] == "service_healthy"
            assert "healthcheck" in SERVICES[other] or other in OURS


@pytest.mark.parametrize("name", SERVICES)
def test_no_port_is_open_to_others(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_understood_and_finds_its_settings(name: str) -> None:
    for verb, *flags in commands(name):
        parsed = command(verb).parse_args(flags)
        assert mounts(SERVICES[name])[str(parsed.config)] == f"./{SETTINGS.relative_to(DEPLOY)}"
    assert SERVICES[name]["read_only"] is True
    ours = {each for each in SERVICES[name].get("environment", ()) if each.startswith("STREAMRNN_")}
    assert ours <= {*VARIABLES, SECRETS_DIR}


def test_every_service_of_ours_has_something_to_run() -> None:
    assert {name for name in OURS if commands(name)} == {"first-model", "streamrnn", "feed"}


def test_the_settings_load_and_name_what_is_there() -> None:
    loaded, daemon = load_settings(SETTINGS), SERVICES["streamrnn"]
    assert {loaded.model.registry, loaded.snapshots.url} <= mounts(daemon).keys()
    host, _, port = loaded.kafka.bootstrap.partition(":")
    assert f"PLAINTEXT://{host}:{port}" == SERVICES[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"--topic={loaded.input.topic}" in SERVICES["topic"]["command"]
    assert f"/models/{loaded.model.name}/champion.json" in SERVICES["first-model"]["entrypoint"][-1]
    assert int(daemon["stop_grace_period"].rstrip("s")) >= loaded.limits.shutdown_budget_s + LONGEST_JOIN_S + 5
    assert f"127.0.0.1:{loaded.http.port}:{loaded.http.port}" in daemon["ports"]


def test_the_feed_and_the_first_model_read_the_same_file_which_the_images_extra_brings() -> None:
    sensor = Path(SERVICES["feed"]["environment"]["SENSOR"])
    assert str(sensor) == SERVICES["first-model"]["environment"]["SENSOR"]
    assert f"python{SERVICES['feed']['build']['args']['PYTHON']}" in sensor.parts
    assert "demo" in SERVICES["feed"]["build"]["args"]["EXTRAS"].split(",")
    found = importlib.util.find_spec("bokeh_sampledata")
    assert found is not None
    path = Path(str(found.origin)).parent / "_data" / sensor.name
    assert sensor.parts[-3:] == path.parts[-3:]
    with gzip.open(path, "rt") as lines:
        assert next(lines).strip() == "isig,datetime,glucose"
    alike = ("--wide", "--missing nil")
    assert all(
        flag in shlex.join(line) for name in ("feed", "first-model") for line in commands(name) for flag in alike
    )


def test_alertmanager_and_the_daemon_have_the_same_token() -> None:
    script = SERVICES["prepare"]["entrypoint"][-1]
    daemon, other = SERVICES["streamrnn"], SERVICES["alertmanager"]
    folder = daemon["environment"][SECRETS_DIR]
    assert mounts(daemon)[folder] == mounts(SERVICES["prepare"])["/ours"]
    assert "/ours/retrain__token" in script
    assert "retrain__token" in {f"{each.section}__{each.name}" for each in options() if each.secret}
    [webhook] = [hook for each in alertmanager()["receivers"] for hook in each.get("webhook_configs", ())]
    file = Path(webhook["http_config"]["authorization"]["credentials_file"])
    assert mounts(other)[str(file.parent)] == mounts(SERVICES["prepare"])["/alertmanagers"]
    assert f"/alertmanagers/{file.name}" in script
    host = webhook["url"].removeprefix("http://").partition(":")[0]
    assert host in daemon["networks"]["inside"]["aliases"]


def test_prometheus_scrapes_the_daemon_and_grafana_asks_prometheus() -> None:
    scraped = yaml.safe_load((DEPLOY / "compose/prometheus.yaml").read_text(encoding="utf-8"))
    [job] = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"streamrnn:{load_settings(SETTINGS).http.port}"]}]
    assert scraped["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]
    [source] = yaml.safe_load((DEPLOY / "compose/datasources.yaml").read_text(encoding="utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    [provider] = yaml.safe_load((DEPLOY / "compose/dashboards.yaml").read_text(encoding="utf-8"))["providers"]
    assert mounts(SERVICES["grafana"])[provider["options"]["path"]] == "./grafana"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DEPLOY / "grafana" / Path(home).name).exists()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on the path (Prometheus)")
def test_prometheus_takes_its_file_and_finds_every_rule(tmp_path: Path) -> None:
    where = next(target for target, source in mounts(SERVICES["prometheus"]).items() if source == "./prometheus")
    text = (
        (DEPLOY / "compose/prometheus.yaml").read_text(encoding="utf-8").replace(where, str(DEPLOY / "prometheus"))
    )
    (tmp_path / "prometheus.yaml").write_text(text, encoding="utf-8")
    arguments = ["promtool", "check", "config", str(tmp_path / "prometheus.yaml")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    files = [DEPLOY / "prometheus/recording.yaml", *(DEPLOY / "prometheus").glob("*-alert.yaml")]
    assert all(str(path) in done.stdout for path in files)
