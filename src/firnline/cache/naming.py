"""Provider names to DuckDB identifiers: the only place that quotes one.

Takes connection, object and field names as providers spell them; the cache's SQL text receives
quoted identifiers that are never equal for different names, although DuckDB compares identifiers
without regard to case.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from firnline.errors import FirnlineError

RUN_COLUMN = "_run"  # which sync run wrote the row last
_RESERVED_COLUMNS = frozenset({RUN_COLUMN, "rowid"})  # rowid is DuckDB's pseudo column
_PLAIN_CONNECTION = re.compile(r"[a-z][a-z0-9]*")


class NameRefusedError(FirnlineError):
    """A name cannot be an identifier: empty, or not text that UTF-8 can carry."""

    code = "name_refused"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} cannot name a table or column",
            hint="Exclude that object from sync.objects in firnline.yaml.",
        )


def quote_identifier(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    if not _is_storable(name):
        raise NameRefusedError(name)
    return '"' + name.replace('"', '""') + '"'


def schema_name(connection: str) -> str:
    """Return the DuckDB schema of `connection`.

    The prefix keeps it apart from catalogs (the file's own name, `temp`, `system`), which DuckDB
    would find ambiguous. Upper case gets a suffix, so that `crm` and `CRM` are two schemas.
    """
    if _PLAIN_CONNECTION.fullmatch(connection):
        return f"c_{connection}"
    return f"c_{_suffixed(connection)}"


def table_reference(connection: str, object_name: str) -> str:
    """Return the quoted, schema-qualified table of one object."""
    table = object_name if _is_storable(object_name) else _suffixed(object_name)
    return f"{quote_identifier(schema_name(connection))}.{quote_identifier(table)}"


def column_names(fields: Iterable[str]) -> Mapping[str, str]:
    """Return the unquoted column of each field of one object.

    A field keeps its name unless another differs from it by case only, or it is reserved or not
    storable; such fields get a digest of their exact name, whatever their order.
    """
    names = list(dict.fromkeys(fields))
    spellings = Counter(name.casefold() for name in names)
    plain = {name for name in names if _is_plain(name, spellings)}
    taken = {name.casefold() for name in plain} | _RESERVED_COLUMNS
    columns: dict[str, str] = {name: name for name in plain}
    for name in sorted(set(names) - plain):
        length = 8
        while (column := _suffixed(name, length)).casefold() in taken:
            length += 4
        taken.add(column.casefold())
        columns[name] = column
    return {name: columns[name] for name in names}


def _is_plain(name: str, spellings: Mapping[str, int]) -> bool:
    folded = name.casefold()
    return _is_storable(name) and spellings[folded] == 1 and folded not in _RESERVED_COLUMNS


def _is_storable(name: str) -> bool:
    if not name or "\0" in name:
        return False
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in name)


def _suffixed(name: str, length: int = 8) -> str:
    exact = name.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(exact).hexdigest()[:length]
    readable = exact.decode("utf-8", "replace").replace("\0", "")
    return f"{readable}~{digest}"
