"""The Helm chart: what it renders is Kubernetes', runs without rights, and names only what streamrnn has."""

import io
import json
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from helm_python import HelmError, lint

from deploy.generate.chart import CHART, manifests, rendered, values, values_schema
from streamrnn.config import load_settings, options
from streamrnn.config.loading import SECRETS_DIR
from streamrnn.http.probes import probe_routes
from streamrnn.process.stopping import LONGEST_JOIN_S
from tests.test_deploy import OURS, ROOT, VARIABLES, command, is_declared

VERSION = "1.37.0"
"""Of the Kubernetes whose schemas are asked."""
CASES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
EVERYTHING = "exactly-once"
NAMES = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
SELECTOR = {
    "type": "object",
    "required": ["matchLabels"],
    "additionalProperties": False,
    "properties": {"matchLabels": NAMES},
}
DURATION = {"type": "string", "pattern": "^[0-9]+(ms|[smhdwy])$"}


def closed(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object with these properties and no other."""
    known = {"type": "object", "additionalProperties": False, "properties": properties}
    return known | {"required": required.split()}


WHOLE = {"type": "integer", "minimum": 0}
BEHAVIOUR = closed(
    "policies",
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    policies={
        "type": "array",
        "items": closed(
            "type value periodSeconds",
            type={"enum": ["Pods", "Percent"]},
            value={"type": "integer", "minimum": 1},
            periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
        ),
    },
)
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
TRIGGERS = {
    "prometheus": closed(
        "serverAddress query threshold",
        serverAddress={"pattern": "^https?://"},
        query={"type": "string"},
        threshold={"pattern": r"^[0-9.]+$"},
        ignoreNullValues={"enum": ["true", "false"]},
    ),
    "cpu": closed("value", value={"pattern": "^[0-9]+$"}),
}
OF_OTHERS = {
    "PodMonitor": closed(
        "selector podMetricsEndpoints",
        selector=SELECTOR,
        podMetricsEndpoints={
            "type": "array",
            "minItems": 1,
            "items": closed("port", port={"type": "string"}, path={"pattern": "^/"}, interval=DURATION),
        },
    ),
    "PrometheusRule": closed(
        "groups",
        groups={
            "type": "array",
            "items": closed(
                "name rules",
                name={"type": "string"},
                rules={
                    "type": "array",
                    "items": closed(
                        "expr",
                        alert={"pattern": "^Streamrnn[A-Za-z]+$"},
                        record={"pattern": "^[a-z_]+:[a-z_]+:[a-z0-9_]+$"},
                        expr={"type": "string"},
                        labels=TEXTS,
                        annotations=TEXTS,
                        **{"for": DURATION},
                    ),
                },
            ),
        },
    ),
    "ScaledObject": closed(
        "scaleTargetRef triggers",
        scaleTargetRef=closed(
            "name", apiVersion={"const": "apps/v1"}, kind={"const": "StatefulSet"}, name={"type": "string"}
        ),
        pollingInterval=WHOLE,
        minReplicaCount=WHOLE,
        maxReplicaCount=WHOLE,
        advanced=closed(
            horizontalPodAutoscalerConfig=closed(behavior=closed(scaleUp=BEHAVIOUR, scaleDown=BEHAVIOUR))
        ),
        triggers={
            "type": "array",
            "items": closed(
                "type metadata",
                type={"enum": sorted(TRIGGERS)},
                metricType={"enum": ["AverageValue", "Value", "Utilization"]},
                metadata={"type": "object"},
            ),
        },
    ),
}
"""The fields that we use of kinds that others define: monitoring.coreos.com/v1 and keda.sh/v1alpha1."""


@cache
def case(name: str) -> tuple[dict[str, Any], ...]:
    return tuple(rendered(yaml.safe_load(CASES[name].read_text(encoding="utf-8")), namespace="iot"))


def of_kind(name: str, kind: str) -> list[Any]:
    return [each for each in case(name) if each["kind"] == kind]


def pods(name: str) -> list[Any]:
    """Of the daemon, and of the retrain job where there is one."""
    found = [each["spec"]["template"]["spec"] for each in of_kind(name, "StatefulSet")]
    return found + [each["spec"]["jobTemplate"]["spec"]["template"]["spec"] for each in of_kind(name, "CronJob")]


def toml(name: str) -> dict[str, Any]:
    [text] = [
        each["data"]["streamrnn.toml"] for each in of_kind(name, "ConfigMap") if "streamrnn.toml" in each["data"]
    ]
    return tomllib.loads(text)


@pytest.mark.parametrize("name", CASES)
def test_kubernetes_takes_what_is_rendered(name: str) -> None:
    for each in case(name):
        jsonschema.validate(each["metadata"]["labels"], NAMES)
        if each["kind"] in OF_OTHERS:
            jsonschema.validate(each["spec"], OF_OTHERS[each["kind"]])
        else:
            kubernetes_validate.validate(each, VERSION, strict=True)
    names = [(each["kind"], each["metadata"]["name"]) for each in case(name)]
    assert len(names) == len(set(names))


def is_value(name: str) -> bool:
    """Whether the chart has a value of this path."""
    where = values_schema()
    for part in name.split("."):
        where = where.get("properties", {}).get(part)
        if where is None:
            return False
    return True


def test_the_readme_leads_to_what_is_there_and_names_values_and_options_that_exist() -> None:
    text = (CHART / "README.md").read_text(encoding="utf-8")
    assert all((CHART / target).exists() for target in re.findall(r"\]\(([^)]+)\)", text))
    named = re.findall(r"`([a-z]\w*(?:\.\w+)*)`", text)
    assert len(named) > 10
    assert {name for name in named if not is_value(name)} <= {*(option.key for option in options()), "helm"}


def test_helm_finds_nothing_to_say_against_it() -> None:
    told = lint(str(CHART), strict=True)
    assert told["errors"] == []
    assert [each for each in told["messages"] if each["severity"] > 1] == []


def test_the_cases_render_every_template() -> None:
    kinds = {each["kind"] for name in CASES for each in case(name)}
    in_templates = set()
    for path in (CHART / "templates").glob("*.yaml"):
        in_templates |= set(re.findall(r"^kind: (\w+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert in_templates == kinds
    assert OF_OTHERS.keys() < kinds


@pytest.mark.parametrize("name", CASES)
def test_every_container_runs_without_rights_and_writes_only_where_it_may(name: str) -> None:
    for pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert f"USER {pod['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
        assert pod["automountServiceAccountToken"] is False
        for container in (*pod["initContainers"], *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"memory", "ephemeral-storage"} <= container["resources"]["limits"].keys()
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_to_is_a_volume(name: str) -> None:
    for pod in pods(name):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            assert {mount["name"] for mount in mounts.values()} <= volumes
            env = {each["name"]: each.get("value") for each in container["env"]}
            for where in filter(None, (env["NUMBA_CACHE_DIR"], env["HOME"], env.get("TMPDIR"))):
                [mount] = [mounts[path] for path in mounts if where == path or where.startswith(f"{path}/")]
                assert not mount.get("readOnly")
            [compiled] = pod["initContainers"]
            assert env["NUMBA_CACHE_DIR"] in compiled["command"][-1]
            assert compiled["image"] == container["image"]
    assert "NUMBA_CACHE_DIR=/opt/streamrnn/numba" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_its_settings_load_as_the_pod_would_load_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [pod, *_] = pods(name)
    [container] = pod["containers"]
    for each in container["env"]:
        if each["name"].startswith("STREAMRNN_") and each["name"] != SECRETS_DIR:
            monkeypatch.setenv(each["name"], each.get("value", "streamrnn-0"))
    (tmp_path / "streamrnn.toml").write_text(
        next(
            each["data"]["streamrnn.toml"]
            for each in of_kind(name, "ConfigMap")
            if "streamrnn.toml" in each["data"]
        )
    )
    loaded = load_settings(tmp_path / "streamrnn.toml")
    [port] = container["ports"]
    assert loaded.http.port == port["containerPort"]
    assert loaded.http.host != "127.0.0.1"
    grace_s = pod["terminationGracePeriodSeconds"]
    assert grace_s >= loaded.limits.shutdown_budget_s + LONGEST_JOIN_S + 5
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for where in (loaded.snapshots.url, loaded.model.registry):
        assert not where or "://" in where or where in mounts
    assert loaded.model.path is not None or loaded.model.name


@pytest.mark.parametrize("name", CASES)
def test_its_commands_and_variables_exist(name: str) -> None:
    for pod in pods(name):
        [container] = pod["containers"]
        verb, *flags = container["args"]
        parsed = command(verb).parse_args(flags)
        folder = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "settings")
        assert str(parsed.config) == f"{folder}/streamrnn.toml"
        ours = {each["name"] for each in container["env"] if each["name"].startswith("STREAMRNN_")}
        assert ours <= {*VARIABLES, SECRETS_DIR}
        # A Service called streamrnn would make variables that are refused.
        assert pod["enableServiceLinks"] is False


@pytest.mark.parametrize("name", CASES)
def test_a_probe_asks_for_a_path_that_is_answered_at_a_port_that_is_open(name: str) -> None:
    paths = {route.path for route in probe_routes(None, None)}  # type: ignore[arg-type]
    [daemon, *_] = pods(name)
    [container] = daemon["containers"]
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["httpGet"]["path"] for kind, probe in probes.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert paths >= {"/livez", "/readyz", "/metrics"}
    [port] = container["ports"]
    for probe in probes.values():
        assert probe["httpGet"]["port"] == port["name"]
    for monitor in of_kind(name, "PodMonitor"):
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    for service in of_kind(name, "Service"):
        assert service["spec"]["ports"][0]["port"] == port["containerPort"]


@pytest.mark.parametrize("name", CASES)
def test_what_selects_the_daemons_finds_them_and_not_the_job(name: str) -> None:
    [daemon] = of_kind(name, "StatefulSet")
    labels = daemon["spec"]["template"]["metadata"]["labels"].items()
    jobs = [
        each["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"] for each in of_kind(name, "CronJob")
    ]
    selectors = [daemon["spec"]["selector"]["matchLabels"], of_kind(name, "Service")[0]["spec"]["selector"]]
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(name, kind)]
    for spread in daemon["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
        selectors.append(spread["labelSelector"]["matchLabels"])
    for selector in selectors:
        assert selector.items() <= labels
        assert not any(selector.items() <= job.items() for job in jobs)
    assert daemon["spec"]["serviceName"] == of_kind(name, "Service")[0]["metadata"]["name"]


def test_a_pods_name_is_its_name_in_the_group() -> None:
    [container] = pods("default")[0]["containers"]
    [named] = [each for each in container["env"] if each["name"] == "STREAMRNN_KAFKA__GROUP_INSTANCE_ID"]
    assert named["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_secrets_come_as_files_and_never_as_values() -> None:
    [pod] = pods(EVERYTHING)
    [container] = pod["containers"]
    folder = next(each["value"] for each in container["env"] if each["name"] == SECRETS_DIR)
    [mount] = [each for each in container["volumeMounts"] if each["mountPath"] == folder]
    assert mount["readOnly"]
    for option in options():
        if option.secret:
            with pytest.raises(HelmError, match=option.name):
                list(rendered({"settings": {option.section: {option.name: "x"}}}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"replica": 2}, "replica"),
        ({"settings": {"kafka": {"bootstrp": "a"}}}, "bootstrp"),
        ({"settings": {"engine": {"block": 1}}}, "block"),
        (
            {"replicas": 2, "snapshots": {"persistence": {"enabled": True, "accessModes": ["ReadWriteOnce"]}}},
            "Many",
        ),
        ({"replicas": 2, "settings": {"kafka": {"group_instance_id": "a"}}}, "staticMembership"),
        ({"replicas": 2, "settings": {"delivery": {"transactional_id": "a"}}}, "transactional_id"),
        ({"settings": {"http": {"enabled": False}}}, "probes"),
        ({"autoscaling": {"enabled": True}}, "query"),
        ({"autoscaling": {"enabled": True, "query": "up", "minReplicas": 9}}, "minReplicas"),
        ({"autoscaling": {"minReplicas": 0}}, "minReplicas"),
        ({"retrain": {"enabled": True}, "models": {"persistence": {"enabled": False}}}, "registry"),
        ({"image": {"digest": "latest"}}, "digest"),
    ],
)
def test_what_would_not_work_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(HelmError, match=said):
        list(rendered(given))


def test_the_schema_takes_the_defaults_and_knows_every_setting() -> None:
    jsonschema.Draft7Validator.check_schema(values_schema())
    jsonschema.validate(values(), values_schema())
    tables = values_schema()["properties"]["settings"]["properties"]
    known = {f"{table}.{name}" for table, each in tables.items() for name in each["properties"]}
    assert known == {option.key for option in options() if not option.secret}


def test_keda_asks_for_seconds_behind_of_the_job_that_is_scraped() -> None:
    [scaled] = of_kind("autoscaling", "ScaledObject")
    [monitor] = of_kind("autoscaling", "PodMonitor")
    [daemon] = of_kind("autoscaling", "StatefulSet")
    for trigger in scaled["spec"]["triggers"]:
        jsonschema.validate(trigger["metadata"], TRIGGERS[trigger["type"]])
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert query == f'max(streamrnn_lag_seconds{{job="iot/{monitor["metadata"]["name"]}"}})'
    assert all(is_declared(name) for name in OURS.findall(query))
    assert scaled["spec"]["scaleTargetRef"]["name"] == daemon["metadata"]["name"]
    assert "replicas" not in daemon["spec"], "else each upgrade would set what KEDA has set"
    behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] >= 600


def test_the_job_ends_its_fit_before_it_is_cut_off_and_runs_alone() -> None:
    [job] = of_kind("object-store", "CronJob")
    [container] = pods("object-store")[1]["containers"]
    parsed = command("retrain").parse_args(container["args"][1:])
    assert parsed.budget_s < job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    assert (parsed.promote, parsed.hidden) == ("if-better", 128)
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert pods("object-store")[1]["restartPolicy"] == "Never"


def test_the_operator_and_grafana_get_the_repositorys_own_files() -> None:
    [rule] = of_kind(EVERYTHING, "PrometheusRule")
    paths = [ROOT / "deploy/prometheus/recording.yaml", *sorted((ROOT / "deploy/prometheus").glob("*-alert.yaml"))]
    own = [group for path in paths for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    by_name = {group["name"]: group for group in rule["spec"]["groups"]}
    assert by_name == {group["name"]: group for group in own}
    [shown] = [each for each in of_kind(EVERYTHING, "ConfigMap") if "streamrnn.json" in each["data"]]
    committed = (ROOT / "deploy/grafana/streamrnn.json").read_text(encoding="utf-8")
    assert json.loads(shown["data"]["streamrnn.json"]) == json.loads(committed)


def test_settings_are_written_as_toml_whatever_is_in_them() -> None:
    odd = {
        "path": 'a"b',
        "stream_field": "ä\u2028<&>",
        "max_record_bytes": 1048576,
        "late_after_s": 0.25,
        "topic": "$x",
    }
    [settings] = [each for each in rendered({"settings": {"input": odd}}) if each["kind"] == "ConfigMap"]
    assert tomllib.loads(settings["data"]["streamrnn.toml"])["input"] == odd
    assert toml("one-pod")["model"] == {"path": "/opt/models/oil"}, "null unsets an option"


def test_the_kubernetes_folder_is_the_chart_rendered() -> None:
    committed = (ROOT / "deploy/kubernetes/streamrnn.yaml").read_text(encoding="utf-8")
    assert committed == manifests(), "python -m deploy.generate"
    for each in yaml.safe_load_all(io.StringIO(committed)):
        kubernetes_validate.validate(each, VERSION, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on the path")
def test_kubectl_builds_the_same_from_the_kubernetes_folder() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", ROOT / "deploy/kubernetes"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    built = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}
    own = yaml.safe_load_all((ROOT / "deploy/kubernetes/streamrnn.yaml").read_text(encoding="utf-8"))
    assert built == {(each["kind"], each["metadata"]["name"]): each for each in own}
