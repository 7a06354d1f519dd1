"""Owns how log lines look and where they go."""

import json
import logging

from streamrnn.config import Settings
from streamrnn.kafka.client import Sparing


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in ms since the epoch, level, logger, message and a traceback if there is one."""
        line = {
            "time": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(settings: Settings) -> None:
    """Log to standard error as `log.level` and `log.format` say."""
    lines = logging.StreamHandler()
    lines.addFilter(Sparing())
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    lines.setFormatter(JsonLines() if settings.log.format == "json" else text)
    logging.basicConfig(level=settings.log.level.upper(), handlers=[lines], force=True)
    # It tells of each step of joining at info, which is our debug; at its debug it shows passwords.
    theirs = logging.INFO if settings.log.level == "debug" else logging.WARNING
    logging.getLogger("aiokafka").setLevel(max(theirs, logging.root.level))
