"""Settings: where an option may come from, what is refused and in which words, and what is never shown."""

import itertools
import json
import math
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn import config
from streamrnn.cli import main
from streamrnn.config import Option, Settings, load_settings
from streamrnn.errors import ConfigError

OPTIONS = {option.key: option for option in config.options()}
SECRETS = [option for option in OPTIONS.values() if option.secret]
SECRET = "hunter2"
SOURCES = ("file", "secret files", "environment", "flag")
Load = Callable[[Mapping[str, str]], Settings]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(config.PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    """Write a settings file; gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "streamrnn.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def secret_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], Path]:
    """Write files by name into a folder that the environment names; gives the folder."""

    def write(files: Mapping[str, str]) -> Path:
        folder = tmp_path / "secrets"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text + "\n", encoding="utf-8")
        monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(folder))
        return folder

    return write


@pytest.fixture
def load_from(
    toml: Callable[[str], Path],
    secret_files: Callable[[Mapping[str, str]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Load]:
    """Per source, a way to load these options from it."""

    def from_file(values: Mapping[str, str]) -> Settings:
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        return load_settings(toml("\n".join(lines)))

    def from_environment(values: Mapping[str, str]) -> Settings:
        for key, value in values.items():
            monkeypatch.setenv(f"STREAMRNN_{key.replace('.', '__').upper()}", value)
        return load_settings()

    def from_secret_files(values: Mapping[str, str]) -> Settings:
        secret_files({key.replace(".", "__"): value for key, value in values.items()})
        return load_settings()

    return {
        "file": from_file,
        "secret files": from_secret_files,
        "environment": from_environment,
        "flag": lambda v: load_settings(overrides=v),
    }


def other_than_the_default(option: Option) -> str:
    if " | " in option.type_text:
        return next(c for c in reversed(option.type_text.split(" | ")) if c != option.default_text)
    return {"integer": "8000", "number": "0.25"}.get(option.type_text, f"some {option.key}")


def value_of(loaded: Settings, key: str) -> str:
    section, name = key.split(".")
    value = getattr(getattr(loaded, section), name)
    if name in [option.name for option in SECRETS]:
        return str(value.get_secret_value())
    return str(value).lower() if isinstance(value, bool) else str(value)


def refusal(**given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(**given)
    return str(caught.value)


@pytest.mark.parametrize("source", SOURCES)
def test_every_option_can_come_from_every_source(source: str, load_from: dict[str, Load]) -> None:
    wanted = {key: other_than_the_default(option) for key, option in OPTIONS.items()}
    wanted |= {"kafka.session_timeout_ms": "24000", "retrain.nice": "7", "input.codec": "msgpack"}
    wanted |= {"delivery.transaction_timeout_ms": "24000", "input.key": "text"}
    wanted |= {"input.ranges": "temp=-50:60,load=0:", "process.workers": "24"}
    exact = {"kafka.acks_idempotent": "true"}
    for asked in (wanted | exact, wanted | {"delivery.guarantee": "at_least_once"}):
        loaded = load_from[source](asked)
        assert {key: value_of(loaded, key) for key in OPTIONS} == asked


@pytest.mark.parametrize("present", [p for n in range(5) for p in itertools.combinations(SOURCES, n)])
def test_a_flag_goes_over_the_environment_over_secret_files_over_the_file_over_the_default(
    present: tuple[str, ...],
    toml: Callable[[str], Path],
    secret_files: Callable[[Mapping[str, str]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = toml('[kafka]\ngroup = "file"\nclient_id = "kept"\n' if "file" in present else "")
    if "secret files" in present:
        secret_files({"kafka__group": "secret files"})
    if "environment" in present:
        monkeypatch.setenv("STREAMRNN_KAFKA__GROUP", "environment")
    loaded = load_settings(path, {"kafka.group": "flag"} if "flag" in present else {})
    assert loaded.kafka.group == (present[-1] if present else "streamrnn")
    assert loaded.kafka.client_id == ("kept" if "file" in present else "streamrnn")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kafka]\ngrup = 1", "unknown option kafka.grup; did you mean kafka.group?"),
        ("[kafka]\ncodec = 1", "unknown option kafka.codec; did you mean input.codec?"),
        ("[kafak]\ngroup = 1", "unknown section [kafak]; did you mean kafka?"),
        ("bootstrap = 'x'", "unknown section [bootstrap]; did you mean kafka.bootstrap?"),
        ("qqqq = 1", "unknown section [qqqq]"),
        ("kafka = 'x'", "kafka must be a table"),
        ("[[kafka]]", "kafka must be a table"),
        ("[kafka", "Expected ']'"),
        ("[kafka]\n[kafka]", "line 2"),
        ("a = " + "[" * 10_000, "recursion"),
    ],
)
def test_a_file_is_refused_by_name_with_the_nearest_right_one(
    toml: Callable[[str], Path], text: str, said: str
) -> None:
    path = toml(text)
    assert said in (message := refusal(config=path))
    assert message.startswith(str(path))


@pytest.mark.parametrize("path", ["absent.toml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, path: str) -> None:
    assert refusal(config=tmp_path / path).startswith(str(tmp_path / path))


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'[kafka]\ngroup = "\xe9"')
    assert "latin.toml" in refusal(config=tmp_path / "latin.toml")


@pytest.mark.parametrize("wrong", ["STREAMRNN_KAFKA__GRUOP", "STREAMRNN_KAFKA_GROUP", "streamrnn_kafka__grp"])
def test_an_unknown_variable_is_refused_with_the_nearest_right_one(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(wrong, SECRET)
    message = refusal()
    assert f"unknown variable {wrong}; did you mean STREAMRNN_KAFKA__GROUP?" in message
    assert SECRET not in message


def test_secret_files_are_read_as_an_orchestrator_mounts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes links each name to ..data/name, and ..data to a folder that is hidden too."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "kafka__sasl_password").write_text(f" {SECRET} \n\n")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "kafka__sasl_password").symlink_to("..data/kafka__sasl_password")
    monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(tmp_path))
    assert value_of(load_settings(), "kafka.sasl_password") == SECRET


@pytest.mark.parametrize("name", ["kafka__sasl_pasword", "STREAMRNN_KAFKA__SASL_PASSWORD", "sasl_password"])
def test_an_unknown_secret_file_is_refused_with_the_nearest_right_one(
    name: str, secret_files: Callable[[Mapping[str, str]], Path]
) -> None:
    folder = secret_files({name: SECRET})
    message = refusal()
    assert message == f"{folder}: unknown file {name.lower()}; did you mean kafka__sasl_password?"


def test_a_wrong_secret_is_named_and_not_shown(secret_files: Callable[[Mapping[str, str]], Path]) -> None:
    folder = secret_files({"retrain__token": f"{SECRET} é"})
    assert (message := refusal()).startswith("retrain.token: ")
    (folder / "retrain__token").write_bytes(SECRET.encode() + b"\xe9")
    assert refusal() == f"{folder}: a file is not UTF-8"
    assert SECRET not in message


def test_a_folder_of_secrets_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").touch()
        monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(folder))
        assert refusal() == f"STREAMRNN_SECRETS_DIR: there is no folder {folder}"
    monkeypatch.setenv("STREAMRNN_SECRETS_DIR", "")
    assert load_settings() == Settings()


def test_a_file_may_be_a_pipe() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe:
        pipe.write('[kafka]\ngroup = "piped"\n')
    try:
        assert load_settings(Path(f"/dev/fd/{read}")).kafka.group == "piped"
    finally:
        os.close(read)


def test_variables_of_others_and_of_the_tests_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STREAMRNN_TEST_BOOTSTRAP", "STREAMRNNX", "KAFKA__GROUP"):
        monkeypatch.setenv(name, "x")
    assert load_settings() == Settings()


def test_an_unknown_flag_is_refused_with_the_nearest_right_one() -> None:
    assert refusal(overrides={"http.prot": "1"}) == "flags: unknown option http.prot; did you mean http.port?"
    assert "did you mean engine?" in refusal(overrides={"engin.block": "1"})


@pytest.mark.parametrize("option", [o for o in OPTIONS.values() if o.type_text in ("integer", "number")])
def test_what_is_no_number_or_no_finite_one_is_refused_by_the_options_name(option: Option) -> None:
    for wrong in ("", "many", "nan", "inf", "-5"):
        assert refusal(overrides={option.key: wrong}).startswith(f"{option.key}: ")


@pytest.mark.parametrize("option", [o for o in OPTIONS.values() if " | " in o.type_text])
def test_what_is_no_choice_is_refused_by_the_options_name(option: Option) -> None:
    assert (message := refusal(overrides={option.key: SECRET})).startswith(f"{option.key}: ")
    assert SECRET not in message


def test_every_wrong_option_is_named_at_once() -> None:
    message = refusal(overrides={"http.port": "65536", "engine.block": "7", "input.codec": "xml"})
    assert [part.split(":")[0] for part in message.split("; ")] == ["input.codec", "engine.block", "http.port"]
    assert "{" not in message


@pytest.mark.parametrize("key", ["kafka.group", "model.path", "kafka.sasl_password"])
def test_bytes_that_are_no_utf_8_are_refused_by_the_options_name(key: str, load_from: dict[str, Load]) -> None:
    for source in ("environment", "flag"):
        with pytest.raises(ConfigError, match=f"{key} is not UTF-8"):
            load_from[source]({key: "x\udcff"})


TOPICS = ("input.topic", "output.topic", "output.dead_letter_topic")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "a.dlq", "b.dlq", None]), min_size=3, max_size=3))
def test_topics_must_differ_from_each_other_and_from_the_default_dead_letters(topics: list[str | None]) -> None:
    named = {key: topic for key, topic in zip(TOPICS, topics, strict=True) if topic is not None}
    source = named.get("input.topic", "ticks")
    effective = [source, named.get("output.topic", "predictions"), named.get(TOPICS[2], f"{source}.dlq")]
    if len(set(effective)) == 3:
        assert load_settings(overrides=named).dead_letter_topic == effective[2]
    else:
        assert "topics must differ" in refusal(overrides=named)


def test_options_that_belong_together_are_checked_together() -> None:
    assert "session_timeout_ms" in refusal(overrides={"kafka.session_timeout_ms": "8999"})
    assert load_settings(overrides={"kafka.session_timeout_ms": "9000"}).kafka.session_timeout_ms == 9000
    for alone in ("kafka.ssl_cert", "kafka.ssl_key"):
        assert "belong together" in refusal(overrides={alone: "x.pem"})
    exact = {"delivery.guarantee": "exactly_once", "kafka.acks_idempotent": "false"}
    assert "exactly_once needs kafka.acks_idempotent" in refusal(overrides=exact)
    slow = {"delivery.guarantee": "exactly_once", "delivery.commit_interval_ms": "5001"}
    assert "must be at least twice commit_interval_ms" in refusal(overrides=slow)
    refused = "input.key = uuid and input.stream_field both name the stream"
    assert refused in refusal(overrides={"input.key": "uuid", "input.stream_field": "site"})
    for key, value in {"path": "payload", "stream_field": "id", "numbers": "lenient"}.items():
        said = refusal(overrides={f"input.{key}": value, "input.codec": "float32"})
        assert f"input.{key} needs a codec with fields" in said
    for key in ("path", "stream_field", "time_field", "sequence_field"):
        assert "has an empty name in it" in refusal(overrides={f"input.{key}": "a..b"})
    numbered = {"input.sequence_field": "n", "input.codec": "float32"}
    assert "input.sequence_field needs a codec with fields" in refusal(overrides=numbered)
    listed = {"input.codec": "float32", "input.records": "list"}
    assert "input.records needs a codec with fields" in refusal(overrides=listed)


def test_null_values_end_states_only_where_the_key_names_the_stream() -> None:
    asked = {"input.tombstones": "forget", "input.stream_field": "sensor"}
    assert "unset input.stream_field" in refusal(overrides=asked)
    assert load_settings(overrides=asked | {"input.tombstones": "skip"}).input.stream_field == "sensor"


def test_the_options_that_hold_secrets_are_known_as_such() -> None:
    names = {o.key for o in OPTIONS.values() if o.name.endswith(("password", "token"))}
    assert names == {o.key for o in SECRETS}


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_secrets_are_masked_when_settings_are_shown(
    form: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in SECRETS:
        monkeypatch.setenv(option.variable, SECRET)
    assert main(["config", *form]) == 0
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert out.count("**********") == len(SECRETS)
    assert SECRET not in repr(load_settings())


@pytest.mark.parametrize("option", SECRETS)
@pytest.mark.parametrize("value", ["'{}'\n[http]\nport = 'x'", "['{}']", "{{ {} = 1 }}", "'{}", "{}", "'{}'\n{}"])
def test_a_secret_is_in_no_error_about_its_file(toml: Callable[[str], Path], option: Option, value: str) -> None:
    text = f"[kafka]\n{option.name} = {value.format(SECRET, SECRET)}\n"
    assert SECRET not in refusal(config=toml(text))


def test_the_example_says_what_the_defaults_say(
    capsys: pytest.CaptureFixture[str], toml: Callable[[str], Path]
) -> None:
    assert main(["config", "--example"]) == 0
    example = capsys.readouterr().out
    assert load_settings(toml(example)) == Settings()
    for option in OPTIONS.values():
        assert f"{option.name} =" in example
        assert f"# {option.help} ({option.type_text})" in example


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_config_prints_loads_back_to_the_same_settings(
    form: list[str], toml: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {"input.topic": 'a "b"\n\x7f\\é', "http.port": "0", "http.enabled": "false", "model.path": "C:\\m",
             "limits.dead_letter_share": "1e-07", "output.compression": "zstd"}  # fmt: skip
    assert main(["config", *form, *(f"--{key}={value}" for key, value in flags.items())]) == 0
    printed = capsys.readouterr().out
    text = config.to_toml(json.loads(printed)) if form else printed
    assert load_settings(toml(text)) == load_settings(overrides=flags)


texts = st.text() | st.text(st.sampled_from([chr(n) for n in range(0xA1)]))
values = texts | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False)


@given(st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.sampled_from("xyz"), values)))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_and_number_survives_the_way_through_toml(tables: dict[str, dict[str, Any]]) -> None:
    assert tomllib.loads(config.to_toml(tables)) == tables


def test_none_is_left_out_of_toml() -> None:
    assert tomllib.loads(config.to_toml({"a": {"x": None, "y": math.inf}})) == {"a": {"y": math.inf}}


def test_the_table_has_one_row_of_four_cells_for_each_option() -> None:
    head, rule, *rows = [row.strip("|").split(" | ") for row in config.markdown_table().splitlines()]
    assert [len(row) for row in (head, rule, *rows)] == [4] * (len(OPTIONS) + 2)
    assert [row[0].strip(" `") for row in rows] == list(OPTIONS)


def test_wrong_settings_are_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--http.port", "-1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("streamrnn: http.port: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kafka.sasl_pasword=hunter2"], "did you mean kafka.sasl_password?"),
        (["--kafak.sasl_password", "hunter2"], "did you mean kafka?"),
        (["--jsn=hunter2"], "unrecognized arguments: --jsn"),
        (["hunter2"], "unrecognized arguments: 1 too many"),
    ],
)
def test_a_flag_that_is_not_understood_is_named_without_its_value(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> int:
        with pytest.raises(SystemExit) as end:
            raise SystemExit(main(["config", *arguments]))
        return int(str(end.value.code))

    assert run() == 2
    error = capsys.readouterr().err
    assert said in error
    assert "hunter2" not in error


@pytest.mark.parametrize("given", [{"poll_s": "0"}, {"poll_s": "inf"}, {"switch": "x"}, {"challenger": "0"}])
def test_how_a_new_model_is_followed_is_refused_out_of_range(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"^model\.\w+: "):
        load_settings(overrides={f"model.{key}": value for key, value in given.items()})
