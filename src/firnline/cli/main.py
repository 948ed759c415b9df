"""The root of the `firnline` command: registers every command, shows every error the same way."""

from __future__ import annotations

import logging
import sys

import typer
from typer.exceptions import TyperException

from firnline import __version__
from firnline.cli.access import access
from firnline.cli.audit import audit
from firnline.cli.check import check
from firnline.cli.connecting import connecting
from firnline.cli.connections import connections
from firnline.cli.demo import demo
from firnline.cli.discover import discover
from firnline.cli.init import init
from firnline.cli.keys import keys
from firnline.cli.operations import operations
from firnline.cli.people import people
from firnline.cli.query import query
from firnline.cli.running import report
from firnline.cli.sandbox import sandbox
from firnline.cli.schema import schema
from firnline.cli.serve import serve
from firnline.cli.sync import sync
from firnline.cli.token import token
from firnline.cli.vault import vault
from firnline.errors import FirnlineError, UsageError

cli = typer.Typer(
    name="firnline",
    help="One GraphQL endpoint per customer over their CRM, ERP and help desk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (init, check, discover, sync, query, serve, sandbox, token, demo, people):
    cli.command()(command)
cli.add_typer(connecting, name="connect")
cli.add_typer(connections, name="connections")
cli.add_typer(schema, name="schema")
cli.add_typer(operations, name="operations")
cli.add_typer(access, name="access")
cli.add_typer(audit, name="audit")
cli.add_typer(keys, name="keys")
cli.add_typer(vault, name="vault")


@cli.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"firnline {__version__}")


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    as_json = "--json" in sys.argv[1:]
    try:
        # Typer tells wrong options in its own form and ends; programs get them as any other error.
        sys.exit(cli(standalone_mode=not as_json))
    except TyperException as error:
        refusal = _usage_error(error)
        report(refusal, as_json=as_json)
        sys.exit(refusal.exit_code)
    except typer.Abort:
        sys.exit(1)
    except FirnlineError as error:
        report(error, as_json=as_json)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)


def _usage_error(error: TyperException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "firnline"
    return UsageError(error.format_message(), hint=f"Run: {command} --help")
