"""Facts of the verified token that the builder's policy compares with, or sets in writes.

Takes a principal and the name of a fact; binding receives its value.
"""

from __future__ import annotations

from firnline.access.principal import Principal
from firnline.spec.policy import ATTRIBUTES, PRINCIPAL_FACTS


class UnboundError(Exception):
    """The policy cannot be decided for this principal; its text says why."""


def fact(principal: Principal, name: str) -> str | tuple[str, ...]:
    """Return a fact of the token; raises UnboundError when it holds none of that name."""
    if name.startswith(ATTRIBUTES):
        value = principal.attributes.get(name.removeprefix(ATTRIBUTES))
    else:
        value = getattr(principal, name) if name in PRINCIPAL_FACTS else None
    if not value:
        raise UnboundError("needs something that the token does not hold")
    return value
