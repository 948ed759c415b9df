"""The `firnline` command."""

from firnline.cli.main import main

__all__ = ["main"]
