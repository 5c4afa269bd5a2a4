"""Configs: one section for each part of an experiment, checked against the signature of what it names.

A section's ``name`` chooses a constructor, by a short name or an import path; the other fields are its arguments, with
the constructor's own types and defaults. No field is listed here: a parameter that a constructor gains is a field.
"""

from score_sde.config.build import build, build_many, constructor_of
from score_sde.config.files import read
from score_sde.config.help import help_text
from score_sde.config.overrides import override
from score_sde.config.schema import VERSION, ConfigError, checked, differences, flat
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
