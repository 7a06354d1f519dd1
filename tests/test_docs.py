"""The README's tables are generated; these tests hold it to the declarations.

To bring them up to date: python -m tests.test_docs
"""

import re
from pathlib import Path

import pytest

from streamrnn import config, metrics

README = Path(__file__).parent.parent / "README.md"
TABLES = {"settings": config.markdown_table, "metrics": metrics.markdown_table}


def with_table(text: str, name: str) -> str:
    """The README with the table between its two markers as the code would print it."""
    block = f"<!-- {name} -->\n{TABLES[name]()}\n<!-- /{name} -->"
    return re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_the_readmes_table_is_what_the_code_declares(name):
    text = README.read_text()
    assert f"<!-- {name} -->" in text
    assert with_table(text, name) == text


def test_every_name_in_the_readmes_tree_exists():
    tree = README.read_text().split("```\nstreamrnn/\n")[1].split("```")[0]
    package = README.parent / "streamrnn"
    for line in tree.splitlines():
        if line.startswith("  "):
            for name in line.split("  ")[1:]:
                if re.fullmatch(r"[a-z_]+(\.py|/)", name):
                    assert (package / name).exists(), name


if __name__ == "__main__":
    readme = README.read_text()
    for table in TABLES:
        readme = with_table(readme, table)
    README.write_text(readme)
