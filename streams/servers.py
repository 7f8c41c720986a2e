"""What groups of settings have in common: kinds of values; of every server the files for TLS, checked when read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from streams.tls import check_ca, verifying_context

Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(gt=0)]
File = Annotated[Path | None, BeforeValidator(lambda given: None if given == "" else given)]
"""A file or none; an empty variable means none."""


class Group(BaseModel):
    """A frozen group of settings that knows no other names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Server(Group):
    """How a server proves who it is, and we to it, where TLS is spoken: 1.2 or newer, always verified."""

    ca_file: File = Field(default=None, description="authority that signed its certificate, PEM; none: well-known ones")
    certificate_file: File = Field(default=None, description="our certificate, PEM, for a server that demands one")
    key_file: File = Field(default=None, description="its key, PEM without passphrase; none: in certificate_file")

    @field_validator("ca_file")
    @classmethod
    def _holds_certificates(cls, file: Path | None) -> Path | None:
        check_ca(file)
        return file

    @model_validator(mode="after")
    def _tls_files_are_of_use(self) -> Self:
        files = (self.ca_file, self.certificate_file, self.key_file)
        if any(files) and not self.encrypted:
            raise ValueError("without TLS its certificate files are of no use: switch TLS on, or unset them")
        if any(files[1:]):
            verifying_context(*files)
        return self

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        raise NotImplementedError
