"""Files that a command's options name: reads and writes text, and refuses with a sentence."""

from __future__ import annotations

import sys
from pathlib import Path

from firnline.errors import UsageError


class FileUnusableError(UsageError):
    """A file that an option or argument names cannot be read or written."""

    code = "file_unusable"


def unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file cannot be read, without what is in it."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return error.strerror or type(error).__name__


def read_text(path: Path) -> str:
    """Return the UTF-8 text of `path`; raises FileUnusableError."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileUnusableError(
            f"{path} cannot be read: {reason}", hint="Name a text file that this user may read."
        ) from None
    except UnicodeDecodeError:
        raise FileUnusableError(
            f"{path} is not UTF-8 text", hint="Save the file as UTF-8."
        ) from None


def read_standard_input() -> str:
    """Return the UTF-8 text on standard input; raises FileUnusableError."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise FileUnusableError("standard input is not UTF-8 text") from None


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`; raises FileUnusableError."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileUnusableError(
            f"{path} cannot be written: {reason}",
            hint="Name a file in a directory that exists and that this user may write to.",
        ) from None
