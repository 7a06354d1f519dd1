"""Settings: each option declared once, loaded from flags, environment and file, shown with secrets masked.

Owns names, bounds and defaults. Knows nothing of what an option does.
"""

from streamrnn.config.environment import environment_of
from streamrnn.config.input import InputSettings
from streamrnn.config.loading import load_settings
from streamrnn.config.options import Option, options
from streamrnn.config.rendering import example_toml, markdown_table, masked, to_toml
from streamrnn.config.sections import (
    PREFIX,
    RESERVED,
    KafkaSettings,
    ModelSettings,
    RetrainSettings,
    Settings,
    SnapshotSettings,
)

__all__ = [
    "PREFIX",
    "RESERVED",
    "InputSettings",
    "KafkaSettings",
    "ModelSettings",
    "Option",
    "RetrainSettings",
    "Settings",
    "SnapshotSettings",
    "environment_of",
    "example_toml",
    "load_settings",
    "markdown_table",
    "masked",
    "options",
    "to_toml",
]
