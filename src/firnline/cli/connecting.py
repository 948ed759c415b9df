"""`firnline connect`: connects systems here, or makes the link with which a customer does.

`firnline connect TENANT` stays what it was, and is `firnline connect to TENANT` in full: so also a
tenant is reached that is called as one of the commands.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from firnline.cli.connect import connect
from firnline.cli.connect_link import link

USUAL = "to"


class _WithUsual(TyperGroup):
    """Takes what names no command for the arguments of the usual one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [USUAL, *args]
        return super().parse_args(ctx, args)


connecting = typer.Typer(
    cls=_WithUsual,
    help="Connect a tenant's systems, or make a link with which the customer does.",
    no_args_is_help=True,
)
connecting.command(USUAL)(connect)
connecting.command("link")(link)
