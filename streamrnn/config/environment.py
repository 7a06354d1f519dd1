"""Settings as environment variables, for a process of ours that is to load the same. Reads no source itself."""

import os
from collections.abc import Collection

from streamrnn.config.options import options
from streamrnn.config.sections import PREFIX, RESERVED, Settings


def environment_of(settings: Settings, without: Collection[str] = ()) -> dict[str, str]:
    """Our own variables, and these settings but for the sections left out, wherever they came from."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(PREFIX) or name.upper().startswith(RESERVED)
    }
    for option in options():
        table = getattr(settings, option.section)
        value, default = getattr(table, option.name), type(table).model_fields[option.name].default
        if option.section not in without and value is not None and value != default:
            inherited[option.variable] = value.get_secret_value() if option.secret else str(value)
    return inherited
