"""Cookies that a provider set, kept for the one connection that they belong to.

Takes the `Set-Cookie` lines of an answer; the session login and the CSRF tokens keep what comes out
and the channel sends it back. There is no jar: where a cookie goes is decided by whose it is, and
it only ever goes to that connection's own origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

COOKIES_MAX = 20
COOKIE_LENGTH_MAX = 4096

# Names as RFC 6265 says; values as they are met: anything visible and spaces inside.
_PAIR = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*([\x20-\x3a\x3c-\x7e]*)")
_ENDED = re.compile(r";\s*max-age\s*=\s*(0|-[0-9]+)\s*(;|$)", re.IGNORECASE)


def read_cookies(lines: Iterable[str]) -> dict[str, str]:
    """Return the cookies that `Set-Cookie` lines set, by name; a later line wins.

    A cookie that is set to nothing, or to end at once, is none. Lines that no server should send
    are passed over.
    """
    cookies: dict[str, str] = {}
    for line in lines:
        pair = _PAIR.fullmatch(line.partition(";")[0].strip())
        if pair is None or len(pair[0]) > COOKIE_LENGTH_MAX:
            continue
        name, value = pair[1], pair[2].strip()
        if not value or _ENDED.search(line):
            cookies.pop(name, None)
        elif name in cookies or len(cookies) < COOKIES_MAX:
            cookies[name] = value
    return cookies


def cookie_line(cookies: Mapping[str, str]) -> str:
    """Return the value of a `Cookie` header."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def split_cookie_line(line: str) -> dict[str, str]:
    """Return the cookies of a line that `cookie_line` made."""
    return dict(part.split("=", 1) for part in line.split("; ") if part)
