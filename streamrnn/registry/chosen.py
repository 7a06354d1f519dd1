"""Which model the settings choose: a folder, a version, or the champion. Knows no pointer's form."""

from typing import TYPE_CHECKING

from streamrnn.config import ModelSettings
from streamrnn.errors import BundleError, ConfigError
from streamrnn.registry.registry import Registry

if TYPE_CHECKING:
    from streamrnn.nn.model import Model


def check_named(settings: ModelSettings) -> None:
    """ConfigError where the settings name no model, neither `path` nor `name` and `registry`, or no challenger."""
    if settings.path is None and not (settings.registry and settings.name):
        raise ConfigError("no model: set model.path, or model.registry and model.name")
    if settings.challenger is not None and (settings.path is not None or settings.challenger == settings.version):
        raise ConfigError("model.challenger: needs another version of model.name in model.registry to run beside")


def load_model(settings: ModelSettings) -> "Model":
    """The bundle at `path`, or the version of `name` in `registry`; ConfigError if neither is set."""
    check_named(settings)
    if settings.path is not None:
        from streamrnn.nn.bundle import load_bundle

        return load_bundle(settings.path)
    assert settings.registry, "checked"
    assert settings.name, "checked"
    return Registry(settings.registry).load(settings.name, settings.version)


def load_label(settings: ModelSettings, label: str) -> "Model":
    """The model of a label, NAME@VERSION, of the registry that the settings name; BundleError without one."""
    name, _, version = label.rpartition("@")
    if settings.registry is None or not version.isdigit():
        raise BundleError(f"{label} is in no registry that the settings name")
    return Registry(settings.registry).load(name, int(version))
