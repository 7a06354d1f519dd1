"""Writes what is generated under deploy/: `python -m deploy.generate`. A test holds the files to it."""

import json
from pathlib import Path

from deploy.generate.dashboard import dashboard

DEPLOY = Path(__file__).parent.parent


def files() -> dict[Path, str]:
    """Every generated file and what is in it."""
    return {DEPLOY / "grafana/streamrnn.json": json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"}


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
