"""What every section of the configuration has in common: strict keys, and numbers with bounds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of `config.yaml`: an unknown key or a value of another type is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Positive = Annotated[int, Field(ge=1)]
PositiveNumber = Annotated[float, Field(gt=0)]
# Timeouts are bounded (eleven days), so that every clock can represent them.
TimeoutSeconds = Annotated[float, Field(gt=0, le=1e6)]
