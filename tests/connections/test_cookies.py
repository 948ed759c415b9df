"""Cookies are read as servers send them, odd and hostile lines included."""

from __future__ import annotations

import pytest

from firnline.connections.cookies import (
    COOKIES_MAX,
    cookie_line,
    read_cookies,
    split_cookie_line,
)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["B1SESSION=a-b;HttpOnly;", "ROUTEID=.node1; path=/b1s"],
            {"B1SESSION": "a-b", "ROUTEID": ".node1"},
        ),
        (["s=1; Expires=Mon, 23 Nov 2026 10:00:00 GMT; Secure"], {"s": "1"}),
        (["s=1", "s=2"], {"s": "2"}),
        (["s=a=b==; path=/"], {"s": "a=b=="}),
        (['s="quoted, value"'], {"s": '"quoted, value"'}),
        (["s = 1 ;path=/"], {"s": "1"}),
        (["s=1", "s=; Max-Age=0"], {}),
        (["s=1", "s=gone; max-age=0; path=/"], {}),
        (["s=1; Max-Age=03600"], {"s": "1"}),
        (["s="], {}),
        ([], {}),
    ],
)
def test_set_cookie_lines_are_read(lines: list[str], expected: dict[str, str]) -> None:
    assert read_cookies(lines) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        ";",
        "=value",
        "no value",
        "na me=1",
        "s=a\r\nx-injected: 1",
        "s=\x00",
        "s=ü",
        f"s={'x' * 5000}",
    ],
)
def test_line_that_no_server_should_send_sets_nothing(line: str) -> None:
    assert read_cookies([line, "good=1"]) == {"good": "1"}


def test_number_of_cookies_is_bounded() -> None:
    assert len(read_cookies(f"c{number}=1" for number in range(1000))) == COOKIES_MAX


def test_line_to_send_holds_every_cookie_and_reads_back() -> None:
    cookies = {"B1SESSION": "a=b==", "ROUTEID": ".node1"}

    assert cookie_line(cookies) == "B1SESSION=a=b==; ROUTEID=.node1"
    assert split_cookie_line(cookie_line(cookies)) == cookies
    assert split_cookie_line("") == {}
