"""What counts only as far as the source confirms it, record by record, at the time of asking.

The graph decides which types these are for a person; scans mark them, and the marks are settled
with what the source says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class AtSource:
    """A type whose mirrored records are candidates only.

    `user_key` is the person's key at the provider, `objects` are those of the connection that can
    be asked about. What the source said counts for `kept_for`, and never beyond `rights`, the
    version of the permission records that made the candidates. `reason` says why the mirror does
    not do; empty where the policy wants it so. `asks_fields` says that the source is asked about
    fields, too.
    """

    connection: str
    object: str
    user_key: str
    rights: str
    kept_for: timedelta
    objects: frozenset[str] = field(repr=False)
    reason: str = ""
    asks_fields: bool = False


class UncheckedError(Exception):
    """A source has to be asked about these records before a query can be answered.

    `slot` names the connection and its object. Without keys it is to be asked about fields.
    """

    def __init__(self, slot: tuple[str, str], keys: Iterable[str] = ()) -> None:
        super().__init__(f"{slot[0]}.{slot[1]}")
        self.slot = slot
        self.keys = tuple(keys)
