"""Folders are layers in one order and no import runs upward; foreign libraries have homes; imports do nothing."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "streamrnn"
ORDER = (
    "errors", "config", "process", "ticks", "stores", "nn", "codecs", "metrics", "registry", "tables",
    "train", "pages", "engine", "comparing", "snapshots", "provenance", "kafka", "worker", "retrainer", "http",
    "service", "supervising", "models", "replay", "retraining", "verifying", "demo", "bench", "commands", "cli",
    "__main__",
)  # fmt: skip
"""A layer may import itself and what stands before it."""
HOMES = {
    "aiokafka": ("kafka/", "bench/relay.py"),
    "cramjam": ("kafka/reading/compression.py",),
    "prometheus_client": ("metrics/",),
    "starlette": ("http/",),
    "uvicorn": ("http/",),
    "h11": ("http/",),
    "pydantic": ("config/",),
    "pydantic_settings": ("config/",),
    "crc32c": ("kafka/",),
    "numba": (
        "process/compiling.py",
        "nn/kernels/",
        "engine/rows/key_",
    ),
    "llvmlite": ("process/compiling.py", "nn/kernels/", "engine/rows/key_"),
    "safetensors": ("nn/bundle.py", "train/checkpoint.py"),
    "optuna": ("train/search.py",),
    "orjson": ("codecs/formats/json.py",),
    "pyarrow": ("tables/",),
    "uvloop": ("process/interpreter.py",),
    "fsspec": ("stores/",),
    "rich": ("models", "replay", "retraining", "verifying", "bench", "demo", "commands", "cli"),
}
WITHOUT_TORCH = (
    "errors", "process", "config", "ticks", "stores", "nn/manifest", "codecs", "metrics", "registry",
    "engine/rows/slots", "engine/rows/reserved", "engine/step/waves", "engine/rows/table", "engine/rows/placing",
    "engine/rows/holding", "comparing", "snapshots", "provenance/pedigree", "kafka", "worker", "retrainer", "http",
    "supervising/__init__", "supervising/cores", "supervising/crew", "supervising/overview",
    "supervising/restarts", "supervising/socket_folder", "supervising/supervisor", "supervising/launching",
    "models/",
    "pages/__init__", "pages/markup", "pages/axes", "pages/plots", "pages/formats", "pages/style",
    "commands", "cli",
)  # fmt: skip
"""Where torch is not imported; all but worker, which drives the engine, do without it altogether."""


class Import(NamedTuple):
    """One import: the module that it names, and in which line."""

    target: str
    line: int


def imports(source: str, known: frozenset[str] = frozenset()) -> Iterator[Import]:
    """Every import of a module, wherever in it; `from a import b` is a.b where that is a known module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                member = f"{origin}.{alias.name}"
                yield Import(member if member in known else origin, node.lineno)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
FILES = {module_name(path): path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))}
KNOWN = frozenset(SOURCES)
IMPORTS = {name: list(imports(source, KNOWN)) for name, source in SOURCES.items()}


def layer(module: str) -> int:
    """The place of a module in ORDER; the package itself, which holds the version, is below all."""
    _, _, rest = module.partition(".")
    return ORDER.index(rest.split(".")[0]) if rest else -1


def upward(module: str, found: list[Import]) -> list[str]:
    """The imports of a module that it must not have."""
    return [
        f"{module}:{line} imports {target}"
        for target, line in found
        if target.startswith(".") or (target.split(".")[0] == "streamrnn" and layer(target) > layer(module))
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import streamrnn.worker.loop",
        "import os, streamrnn.worker as w",
        "from streamrnn.worker.loop import Worker",
        "from streamrnn import worker",
        "from ..worker import loop",
        "def f():\n    async def g():\n        from streamrnn.worker import loop",
        "if TYPE_CHECKING:\n    from streamrnn.worker.loop import Worker",
        "try:\n    import json\nexcept ImportError:\n    import streamrnn.worker",
    ],
)
def test_an_import_that_runs_upward_would_be_seen_wherever_it_hides(source: str) -> None:
    found = list(imports(source, frozenset({"streamrnn.worker", "streamrnn.worker.loop"})))
    assert len(upward("streamrnn.engine.rows.slab", found)) == 1
    if "from ." not in source:
        assert upward("streamrnn.worker.partition", found) == upward("streamrnn.cli", found) == []


def test_every_module_belongs_to_a_layer() -> None:
    places = {name.split(".")[1] for name in SOURCES if "." in name}
    assert places <= set(ORDER), f"give them a place in the order: {places - set(ORDER)}"
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("module", SOURCES)
def test_no_import_runs_upward(module: str) -> None:
    assert upward(module, IMPORTS[module]) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: {target for target, _ in found if target in KNOWN} for name, found in IMPORTS.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(SOURCES)


def test_no_module_is_imported_by_a_name_made_at_run_time() -> None:
    hidden = ("import_module", "__import__", "spec_from_file_location", "exec_module")
    assert [name for name, source in SOURCES.items() if any(word in source for word in hidden)] == []


def test_types_are_decoded_by_decoders_made_at_import() -> None:
    """msgspec learns a type when it is first decoded, and when two threads do that at once the process crashes."""
    late = re.compile(r"msgspec\.\w+\.decode\((?:[^()]|\([^()]*\))*\btype=")
    found = [name for name, source in SOURCES.items() if late.search(source)]
    assert [name for name in found if not name.startswith("streamrnn.bench.")] == [], "bench has one thread"


@pytest.mark.parametrize("library", HOMES)
def test_a_foreign_library_is_imported_in_its_home_alone(library: str) -> None:
    users = {FILES[name] for name, found in IMPORTS.items() if library in {i.target.split(".")[0] for i in found}}
    assert {file for file in users if not file.startswith(HOMES[library])} == set()


OWN_ROOM = "kafka/internals/"
PUBLIC = {"_replace", "_asdict", "_fields"}
"""Names of every NamedTuple."""


def foreign_names(tree: ast.Module) -> set[str]:
    """What a module imports from aiokafka, but requests, which are data, and what is there to be derived from."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "aiokafka"
        if not str(node.module).startswith(("aiokafka.protocol", "aiokafka.abc"))
        for alias in node.names
    }


def reaches_inside(source: str) -> Iterator[str]:
    """Where a module touches what is private to another object, or makes a kind of its own out of aiokafka's."""
    tree = ast.parse(source)
    foreign = foreign_names(tree)
    yield from (f"imports {name}" for name in foreign if name.startswith("_"))
    for node in ast.walk(tree):
        said = f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:80]}"
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr) and node.attr not in PUBLIC:
            if ast.unparse(node.value) not in ("self", "cls"):
                yield said
        elif isinstance(node, ast.ClassDef):
            yield from (said for base in node.bases if ast.unparse(base).split("[")[0] in foreign)
        elif isinstance(node, ast.Call) and re.match(r"[gs]etattr\([\w.]+, '_", ast.unparse(node)):
            yield said


@pytest.mark.parametrize(
    "source",
    [
        "producer._sender",
        "self.producer._sender.start()",
        "getattr(consumer, '_client')",
        "from aiokafka.record.default_records import _Py",
        "from aiokafka import AIOKafkaConsumer as C\nclass Mine(C): ...",
        "from aiokafka.producer.sender import Sender\nclass Mine(Sender[int]): ...",
    ],
)
def test_a_reach_inside_aiokafka_would_be_seen(source: str) -> None:
    assert len(list(reaches_inside(source))) == 1
    assert list(reaches_inside("self._own; cls._own; mark._replace(offset=1)")) == []
    assert list(reaches_inside("from aiokafka.protocol.api import Request\nclass Mine(Request): ...")) == []


@pytest.mark.parametrize("module", [name for name, file in FILES.items() if file.startswith("kafka/")])
def test_aiokafkas_inside_is_known_in_one_room(module: str) -> None:
    if not FILES[module].startswith(OWN_ROOM):
        assert list(reaches_inside(SOURCES[module])) == []


def test_torch_is_where_tensors_are_and_nowhere_else() -> None:
    users = {FILES[name] for name, found in IMPORTS.items() if "torch" in {i.target.split(".")[0] for i in found}}
    assert {file for file in users if file.startswith(WITHOUT_TORCH)} == set()
    assert "nn/model.py" in users


@pytest.mark.parametrize("module", [name for name, source in SOURCES.items() if source.strip()])
def test_a_module_begins_by_saying_what_it_is(module: str) -> None:
    assert ast.get_docstring(ast.parse(SOURCES[module]))


PROBE = """
import gc, importlib, json, logging, os, signal, sys, threading, warnings

def process():
    torch, loggers = sys.modules.get("torch"), [logging.root, *logging.root.manager.loggerDict.values()]
    return {
        "logging": [repr((x, x.handlers)) for x in loggers if getattr(x, "handlers", 0) or getattr(x, "level", 0)],
        "interpreter": [sys.getswitchinterval(), sys.getrecursionlimit(), gc.get_threshold()],
        "signals": [repr(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "threads": threading.active_count(),
        "environment": dict(os.environ),
        "warnings": len(warnings.filters),
        "torch": torch and [torch.get_num_threads(), repr(torch.get_default_dtype()), torch.is_grad_enabled()],
        "tensors": torch and sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects()),
    }

libraries, modules = json.load(sys.stdin)
for library in libraries:
    importlib.import_module(library)
gc.collect()
gc.freeze()
for module in modules:
    before = process()
    importlib.import_module(module)
    if module == "streamrnn.cli":
        sys.modules[module].build_parser()
    after = process()
    print(json.dumps([module, [what for what in before if before[what] != after[what]]]))
"""
"""Imports modules one after the other and says what of the process each changed; torch too, if it came with it."""


def probe(libraries: set[str], modules: list[str]) -> dict[str, list[str]]:
    """What each module changed in a fresh process that has these libraries already."""
    asked, command = json.dumps([sorted(libraries), modules]), [sys.executable, "-c", PROBE]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, cwd=PACKAGE.parent, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


def libraries() -> set[str]:
    roots = {found.target.split(".")[0] for each in IMPORTS.values() for found in each}
    return roots - set(sys.stdlib_module_names) - {"streamrnn"}


def test_importing_a_module_configures_nothing_and_allocates_no_tensor() -> None:
    in_order = sorted(SOURCES, key=layer)
    assert probe(libraries(), in_order) == {module: [] for module in in_order}


def test_pages_are_made_of_parts_that_know_no_report() -> None:
    shared = [name for name, file in FILES.items() if file.startswith("pages/") and "/report/" not in file]
    targets = {i.target for name in shared for i in IMPORTS[name] if i.target.startswith("streamrnn")}
    assert len(shared) > 4
    assert {target for target in targets if target not in shared} == set()


@pytest.mark.parametrize("module", ["streamrnn.service", "streamrnn.cli"])
def test_what_answers_first_waits_for_no_import_that_takes_seconds(module: str) -> None:
    heavy = {"torch", "numba", "llvmlite", "aiokafka", "pyarrow", "safetensors"}
    told = f"import sys, {module}; print(*({heavy} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, cwd=PACKAGE.parent, timeout=60
    )
    assert (done.stdout, done.returncode) == ("\n", 0), done.stderr


def test_what_needs_no_torch_does_not_wait_for_it() -> None:
    light = [name for name, file in FILES.items() if file.startswith(WITHOUT_TORCH) and "worker" not in name]
    heavy = {"torch", "numba", "llvmlite", "safetensors"}
    assert "streamrnn.cli" in light
    assert probe(libraries() - heavy, light) == {module: [] for module in light}
    assert "torch" in probe(libraries() - heavy, ["streamrnn.nn.model"])["streamrnn.nn.model"]
