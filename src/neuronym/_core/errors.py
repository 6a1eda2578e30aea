"""The errors that neuronym raises on purpose: one base class, one exit code each."""

from __future__ import annotations


class NeuronymError(Exception):
    """A run that could not be carried out. The message is one or two sentences for the user."""

    exit_code = 1


class UsageError(NeuronymError, ValueError):
    """An argument that cannot be right: an unknown name, a bad parameter, a contradiction."""

    exit_code = 2


class MissingExtraError(NeuronymError, ImportError):
    """An optional package is needed and absent."""


class CorruptImageError(NeuronymError):
    """One image that cannot be decoded. Passes over a probe skip it, count it and name it."""
