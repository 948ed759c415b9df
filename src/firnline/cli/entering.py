"""What `firnline connect` takes for systems that want a key or a password.

Reads options and files, and asks on a terminal for what they leave open; `connect` hands the fields
to the connections, which know what each system asks for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import typer
from pydantic import SecretStr

from firnline.cli.files import unreadable
from firnline.connections.entering import EntryFieldsError
from firnline.connectors.auth_flows import EntryField
from firnline.errors import UsageError

Ask = Callable[[EntryField], str]

# How a field is given on the command line; others are asked for.
_OPTIONS: Mapping[str, str] = {
    "username": "--username NAME",
    "password": "--secret-file FILE",
    "api_key": "--api-key-file FILE",
}


class SecretFileError(UsageError):
    """A file that should hold a secret cannot be read, or holds none."""

    code = "secret_file"


def entered(
    username: str, secret_file: Path | None, api_key_file: Path | None
) -> dict[str, SecretStr]:
    """Return what the options give, by the names of the fields; raises SecretFileError."""
    if secret_file is not None and secret_file == api_key_file:
        raise SecretFileError(
            "one file cannot hold both a secret and a key", hint="Give the one that is asked for."
        )
    given = {"username": SecretStr(username)} if username else {}
    if secret_file is not None:
        given["password"] = _read(secret_file)
    if api_key_file is not None:
        given["api_key"] = _read(api_key_file)
    return given


def completed(
    fields: Sequence[EntryField], given: Mapping[str, SecretStr], *, ask: Ask | None = None
) -> dict[str, SecretStr]:
    """Return what is given, and what `ask` brings for the fields that are not.

    Without `ask` a person is asked on the terminal; raises EntryFieldsError where there is none.
    """
    if set(given) - {field.name for field in fields}:
        return dict(given)  # refused for that, before anybody is asked
    missing = [field for field in fields if field.name not in given]
    if ask is None and missing:
        ask = _asking_on_terminal(missing)
    return {**given, **{field.name: SecretStr(ask(field)) for field in missing if ask}}


def _asking_on_terminal(missing: Sequence[EntryField]) -> Ask:
    if _has_terminal():
        return _ask_on_terminal
    titles = ", ".join(field.title for field in missing)
    options = [_OPTIONS[field.name] for field in missing if field.name in _OPTIONS]
    given = f"Give {' and '.join(options)}, or run" if options else "Run"
    raise EntryFieldsError(
        f"{titles}: not given, and there is no terminal to ask at",
        hint=f"{given} the command where it can ask you.",
    )


def _has_terminal() -> bool:
    return sys.stdin.isatty()


def _ask_on_terminal(field: EntryField) -> str:
    answer: str = typer.prompt(field.title, hide_input=field.secret, err=True)
    return answer


def _read(path: Path) -> SecretStr:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileError(
            f"{path} cannot be read: {unreadable(error)}", hint="Give a text file."
        ) from None
    # Only the line's end: a password may begin or end with a space.
    secret = text.removeprefix("\ufeff").rstrip("\r\n")
    if not secret:
        raise SecretFileError(f"{path} is empty", hint="Give the file that holds the secret.")
    return SecretStr(secret)
