"""Configs: one section per part of an experiment, checked against the signature of the constructor it names.

A section's ``name`` selects a constructor by a short name or an import path; the other fields are its arguments, with
the constructor's types and defaults. Fields are not listed here: every parameter of a constructor is a field.
"""

from score_sde.config.build import build, build_many, constructor_of
from score_sde.config.differences import differences, flat
from score_sde.config.files import read
from score_sde.config.help import help_text
from score_sde.config.overrides import override
from score_sde.config.schema import VERSION, ConfigError, checked
from score_sde.config.signatures import parameters_of

__all__ = [
    "VERSION",
    "ConfigError",
    "build",
    "build_many",
    "checked",
    "constructor_of",
    "differences",
    "flat",
    "help_text",
    "override",
    "parameters_of",
    "read",
]
