"""Errors that a user can mend, and how the tools print them."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the code is wrong; the message says what, where, and how to put it right.

    The tools print it in a line, without a traceback, and exit with status 1.
    """


class DataError(UserError, ValueError):
    """A data set on disk is missing, damaged or inconsistent; the message names the file and the id."""
