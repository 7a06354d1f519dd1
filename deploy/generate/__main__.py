"""Writes what is generated under deploy/: `python -m deploy.generate`. A test holds the files to it."""

import json
from pathlib import Path

from deploy.generate.chart import CHART, manifests, values_schema
from deploy.generate.dashboard import dashboard

DEPLOY = Path(__file__).parent.parent


def files() -> dict[Path, str]:
    """Every generated file and what is in it, but for the manifests, which are made of these."""
    rules = sorted((DEPLOY / "prometheus").glob("*-alert.yaml"))
    copied = {
        path.name: path.read_text(encoding="utf-8") for path in [DEPLOY / "prometheus/recording.yaml", *rules]
    }
    drawn = _json(dashboard())
    return {
        DEPLOY / "grafana/streamrnn.json": drawn,
        # A chart reads no file outside of it.
        **{CHART / "files" / name: text for name, text in ({"streamrnn.json": drawn} | copied).items()},
        CHART / "values.schema.json": _json(values_schema()),
    }


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    """A file and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for path, text in files().items():
        write(path, text)
    write(DEPLOY / "kubernetes/streamrnn.yaml", manifests())
