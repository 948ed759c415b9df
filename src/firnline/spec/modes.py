"""Modes of access and which of two is the stricter; how long a verdict of the source counts.

`spec.model` and `spec.effective` take them; rules compare a tenant's mode with the integration's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

Mode = Literal["mirror", "verify", "policy", "deny"]

# Each shows what the next one shows or less: a verified record was seen in the mirror before it was
# asked about.
STRICTEST_FIRST: tuple[Mode, ...] = ("deny", "verify", "mirror", "policy")

# Seconds, or up to ten minutes: longer, and a verdict would be a mirror.
VerdictAge = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,2}s|[1-9]m|10m)$")]
VERDICT_AGE = "60s"


def stricter(one: Mode, other: Mode) -> Mode:
    """Return the mode that shows less."""
    return min(one, other, key=STRICTEST_FIRST.index)


def is_mirrored(mode: Mode) -> bool:
    """Say whether the source's mirrored rights count in a mode, alone or to begin with."""
    return mode in ("mirror", "verify")
