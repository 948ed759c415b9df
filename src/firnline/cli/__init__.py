"""The `firnline` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, also while it is still loading."""
    try:
        from firnline.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
