"""The one error that people see as one line: what was given, and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES = 40  # shown of the allowed ones


class InputError(ValueError):
    """Wrong use: a bad key, value, file or state of a folder.

    Its text is one line that names the key, the value and what is allowed. The command line prints
    that line and exits with status 2; a notebook sees an ordinary exception.
    """


class TrainingDiverged(ArithmeticError):
    """The loss stopped being finite. `step` is the optimizer step at which it was seen."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


def unknown(what: str, given: str, allowed: Iterable[str]) -> InputError:
    """An `InputError` for a name that does not exist, with the nearest one that does."""
    allowed = list(allowed)
    nearest = difflib.get_close_matches(given, allowed, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    shown = allowed if len(allowed) <= MOST_NAMES else [*allowed[:MOST_NAMES], f"... ({len(allowed)} in all)"]
    return InputError(f"unknown {what} {given!r}: {hint}allowed: {', '.join(shown)}")


def require_unicode(text: str, where: str) -> str:
    """`text`, if it is valid Unicode: arguments, JSON and file names can hold half of a surrogate pair, which is not.

    Raises:
      InputError: it begins with `where`, and gives the first such character's place.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text[max(error.start - 20, 0) : error.start + 20]
        raise InputError(
            f"{where}: {shown!r} is not allowed: valid Unicode text, and character {error.start + 1} is half of a "
            "surrogate pair"
        ) from None
    return text
