"""What every table of options is made of. Knows no option."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _sendable(token: SecretStr) -> SecretStr:
    """A token that a header can carry; an empty one would let everybody in."""
    text = token.get_secret_value()
    if not text or text != text.strip() or not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII, not empty, without spaces around it")
    return token


Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Token = Annotated[SecretStr, AfterValidator(_sendable)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A table of options; immutable, and closed to unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)
