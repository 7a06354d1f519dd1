"""Owns how log lines look and where they go."""

import json
import logging
import math

from streamrnn.config import Settings

REPEAT_S = 30.0


class Sparing(logging.Filter):
    """Lets aiokafka complain of the same thing twice a minute: of an absent broker it does ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show a line; what is below a warning or not aiokafka's always is."""
        if not record.name.startswith("aiokafka") or record.levelno < logging.WARNING:
            return True
        is_due = record.created - self._said_s.get(record.msg, -math.inf) >= REPEAT_S
        if is_due:
            self._said_s[record.msg] = record.created
        return is_due


class JsonLines(logging.Formatter):
    """One JSON object a line; `worker` is in it where there are several."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._who = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Time in ms since the epoch, level, logger, message and a traceback if there is one."""
        line = {
            "time": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._who,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(settings: Settings, worker: int | None = None) -> None:
    """Log to standard error as `log.level` and `log.format` say; one of several workers says which it is."""
    lines = logging.StreamHandler()
    lines.addFilter(Sparing())
    who = "" if worker is None else f"worker {worker} "
    text = logging.Formatter(f"%(asctime)s %(levelname)-7s {who}%(name)s: %(message)s")
    lines.setFormatter(JsonLines(worker) if settings.log.format == "json" else text)
    logging.basicConfig(level=settings.log.level.upper(), handlers=[lines], force=True)
    # It tells of each step of joining at info, which is our debug; at its debug it shows passwords.
    theirs = logging.INFO if settings.log.level == "debug" else logging.WARNING
    logging.getLogger("aiokafka").setLevel(max(theirs, logging.root.level))
