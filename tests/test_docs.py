"""The documents are true: tables are what the code declares, links lead somewhere, commands are understood.

To bring the tables up to date: python -m tests.test_docs
"""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamrnn import config, metrics
from streamrnn.cli import COMMANDS, build_parser
from streamrnn.errors import StreamrnnError

ROOT = Path(__file__).parent.parent
README, REFERENCE = ROOT / "README.md", ROOT / "deploy" / "REFERENCE.md"
DOCUMENTS = [README, *sorted((ROOT / "deploy").glob("*.md"))]
LINES = 250
"""Of the README at most: what else is to be said is said in the reference."""


def errors(kind: type[StreamrnnError] = StreamrnnError) -> Iterator[type[StreamrnnError]]:
    """A class of the tree and those below it that the package has."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("streamrnn."):
            yield from errors(child)


def exits_table() -> str:
    """One row for each exit code, named by the highest classes of the tree that have it."""
    tops = [kind for kind in errors() if kind is StreamrnnError or kind.exit_code != kind.__base__.exit_code]  # type: ignore[union-attr]
    lines = ["| code | error | meaning |", "| --- | --- | --- |"]
    for kind in sorted(tops, key=lambda kind: (kind.exit_code, kind.__name__)):
        said = "Any other failure." if kind is StreamrnnError else (kind.__doc__ or "").split("\n")[0]
        lines.append(f"| {kind.exit_code} | {kind.__name__} | {said} |")
    return "\n".join(lines)


def retrain_table() -> str:
    """The options of `streamrnn retrain` by their group, without the settings that it takes as well."""
    parser = argparse.ArgumentParser(add_help=False)
    COMMANDS["retrain"].add_arguments(parser)
    lines = ["| option | meaning |", "| --- | --- |"]
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if "." not in "".join(action.option_strings)]
        lines += [f"| **{(group.title or '').replace('|', ',')}** | |"] if shown else []
        lines += [f"| {_option(action)} | {_meaning(action)} |" for action in shown]
    return "\n".join(lines)


def _option(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings) or "FILE ..."
    takes = "" if action.nargs == 0 or not action.option_strings else f" {_taken(action)}"
    return f"`{names}{takes}`"


def _taken(action: argparse.Action) -> str:
    if isinstance(action, argparse.BooleanOptionalAction):
        return ""
    return str(action.metavar or "|".join(map(str, action.choices or ())) or "VALUE").replace("|", r"\|")


def _meaning(action: argparse.Action) -> str:
    return argparse.HelpFormatter("")._expand_help(action).replace("|", r"\|") if action.help else ""


TABLES = {
    "settings": config.markdown_table,
    "metrics": metrics.markdown_table,
    "exits": exits_table,
    "retrain": retrain_table,
}


def with_table(text: str, name: str) -> str:
    """The reference with the table between its two markers as the code would print it."""
    block = f"<!-- {name} -->\n{TABLES[name]()}\n<!-- /{name} -->"
    return re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_the_references_table_is_what_the_code_declares(name: str) -> None:
    text = REFERENCE.read_text()
    assert f"<!-- {name} -->" in text
    assert with_table(text, name) == text


def test_the_readme_is_short_enough_for_a_newcomer() -> None:
    assert len(README.read_text().splitlines()) <= LINES


def test_every_command_has_a_row() -> None:
    text = REFERENCE.read_text()
    assert [name for name in COMMANDS if f"| `streamrnn {name}" not in text] == []


def source_of(room: str) -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "streamrnn" / room).rglob("*.py")))


def test_every_reason_for_a_dead_letter_has_a_row() -> None:
    codes = set(re.findall(r'\bRefused\(\s*"(\w+)"', source_of("codecs")))
    codes |= set(re.findall(r'\bDeadLetter\([^()]*?"\w+", "(\w+)"', source_of("worker")))
    assert {"null", "outlier", "refused"} <= codes
    text = REFERENCE.read_text().split("## Dead letters")[1].split("\n## ")[0]
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_every_path_of_the_server_has_a_row() -> None:
    paths = set(re.findall(r'"(/[a-z]+)["/{]', source_of("http")))
    assert {"/livez", "/streams", "/retrain"} <= paths
    assert {path for path in paths if f"`{path}" not in REFERENCE.read_text()} == set()


def anchors(path: Path) -> set[str]:
    """What a heading is called in a link, as GitHub makes it."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_every_document_is_linked_from_the_readme() -> None:
    assert [path.name for path in DOCUMENTS[1:] if f"(deploy/{path.name}" not in README.read_text()] == []


def commands(document: Path) -> list[str]:
    """The lines of a document's blocks that are commands of ours."""
    blocks = re.split(r"^```\w*\n", document.read_text(), flags=re.MULTILINE)[1::2]
    return [line for block in blocks for line in block.splitlines() if line.startswith("streamrnn ")]


def test_every_command_shown_is_understood() -> None:
    shown = [line for document in DOCUMENTS for line in commands(document)]
    assert len(shown) > 15
    for line in shown:
        build_parser().parse_args(shlex.split(line, comments=True)[1:])


def test_the_settings_to_begin_with_are_taken(tmp_path: Path) -> None:
    [block] = re.findall(r"^```toml\n(.*?)^```", README.read_text(), flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "streamrnn.toml").write_text(block)
    settings = config.load_settings(tmp_path / "streamrnn.toml", {})
    assert (settings.model.name, settings.delivery.guarantee) == ("oil", "exactly_once")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_shown_exists(document: Path) -> None:
    known = {option.key for option in config.options()}
    sections = {key.partition(".")[0] for key in known}
    text = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", document.read_text(), flags=re.DOTALL)
    shown = set(re.findall(r"`(?:--)?([a-z]+\.[a-z_]+)(?: = [^`]*)?`", text))
    assert {name for name in shown if name.partition(".")[0] in sections and not name.endswith(".json")} <= known


def test_every_name_in_the_readmes_tree_exists() -> None:
    tree = README.read_text().split("```\nstreamrnn/\n")[1].split("```")[0]
    package = ROOT / "streamrnn"
    named = {word for line in tree.splitlines() if line.startswith("  ") for word in line.split("  ")}
    named = {word for word in named if re.fullmatch(r"[a-z_]+(\.py|/)", word)}
    there = {f"{path.name}/" if path.is_dir() else path.name for path in package.iterdir()}
    assert named == {name for name in there if not name.startswith("_")}


if __name__ == "__main__":
    reference = REFERENCE.read_text()
    for table in TABLES:
        reference = with_table(reference, table)
    REFERENCE.write_text(reference)
