"""Branding: what the builder's pages show is checked before anybody sees them."""

from __future__ import annotations

import pytest
from tests.spec.conftest import Copy

from firnline.spec.branding import LOGO_BYTES_MAX, picture_kind

SVG = b'<?xml version="1.0"?>\n<!-- a mark --><svg xmlns="http://www.w3.org/2000/svg"/>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def brand(copy: Copy, line: str) -> None:
    copy.append("firnline.yaml", f"\nbranding:\n  {line}\n")


def test_project_without_branding_has_an_empty_one(copy: Copy) -> None:
    assert copy.load().integration.branding.logo == ""


@pytest.mark.parametrize("content", [SVG, PNG], ids=["svg", "png"])
def test_logo_in_the_project_is_taken(copy: Copy, content: bytes) -> None:
    (copy.directory / "brand").mkdir()
    (copy.directory / "brand" / "mark.bin").write_bytes(content)
    brand(copy, "logo: brand/mark.bin")

    assert copy.load().integration.branding.logo == "brand/mark.bin"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("logo: missing.png", "logo", "cannot be read"),
        ("logo: tenants", "logo", "cannot be read"),
        ("logo: firnline.yaml", "logo", "not a PNG"),
        ("logo: large.png", "logo", "over 256 KB"),
        ("logo: ../secret.png", "logo", "must lie in the project"),
        ("logo: /etc/passwd", "logo", "must lie in the project"),
        ("logo: out/secret.png", "logo", "must lie in the project"),
        ("logo: http://cdn.example/logo.png", "wrong_form", "https address"),
        ("logo: javascript:alert(1)", "wrong_form", "https address"),
        ("color: blue", "wrong_form", "a colour such as"),
        ("color: '#12345g'", "wrong_form", "a colour such as"),
        ("color: '#fff;}*{x:y'", "wrong_form", "a colour such as"),
        ("color: #0f6c9c", "wrong_type", "must be text"),
        ("support_url: javascript:alert(1)", "wrong_form", "https or mailto"),
        ("support_url: http://help.example", "wrong_form", "https or mailto"),
        ('name: "two\\nlines"', "wrong_form", "one line"),
        ("colour: '#000000'", "unknown_key", "not a key"),
    ],
)
def test_branding_that_cannot_be_shown_is_a_problem_with_its_place(
    copy: Copy, line: str, code: str, words: str
) -> None:
    (copy.directory / "large.png").write_bytes(PNG + bytes(LOGO_BYTES_MAX))
    outside = copy.directory.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(PNG)
    (copy.directory / "out").symlink_to(outside)
    brand(copy, line)

    problem = copy.problem()
    assert (problem.file, problem.code) == ("firnline.yaml", code)
    assert words in problem.message
    assert copy.text("firnline.yaml").splitlines()[problem.line - 1].strip() == line


def test_logo_elsewhere_is_not_looked_for_in_the_project(copy: Copy) -> None:
    brand(copy, "logo: https://cdn.example/logo.png")
    assert copy.load().integration.branding.is_logo_elsewhere


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (SVG, "image/svg+xml"),
        (b"\xef\xbb\xbf<svg>", "image/svg+xml"),
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"", ""),
        (b"<html><svg></svg></html>", ""),
        (b"<svgx>", ""),
        (b"<script>alert(1)</script><svg>", ""),
        (b"RIFF\x00\x00\x00\x00WAVE", ""),
    ],
)
def test_picture_is_told_by_its_own_bytes(content: bytes, kind: str) -> None:
    assert picture_kind(content) == kind
