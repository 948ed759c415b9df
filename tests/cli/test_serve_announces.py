"""What `firnline serve` says once it answers."""

from __future__ import annotations

import orjson
import pytest

from firnline.cli.serve import announce
from firnline.settings import Settings

URL = "http://127.0.0.1:9000"


def test_every_surface_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    settings = Settings(public_url="https://firnline.example.com")

    announce(URL, settings, as_json=True)

    assert orjson.loads(capfd.readouterr().out)["serving"] == {
        "graphql": f"{URL}/graphql",
        "ready": f"{URL}/readyz",
        "admin": f"{URL}/admin/v1",
        "connect": "https://firnline.example.com/connect",
    }


@pytest.mark.parametrize(
    ("public_url", "is_warned"),
    [
        ("http://127.0.0.1:8080", True),
        (URL, False),
        ("http://localhost:9000", False),
        ("https://firnline.example.com", False),
    ],
)
def test_links_that_would_lead_elsewhere_are_told(
    capsys: pytest.CaptureFixture[str], public_url: str, *, is_warned: bool
) -> None:
    announce(URL, Settings(public_url=public_url), as_json=False)

    assert (f"set it to {URL}" in capsys.readouterr().out) is is_warned
