"""Colours that can be read: shades of one accent, by WCAG's contrast.

Takes the builder's colour; the theme receives the accent and the ink on it for a light and a dark
page.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3 (AA), for text of any size
BLACK, WHITE = "#000000", "#ffffff"
LIGHT_PAGE = ("#f6f9fb", "#ffffff")  # what links and labels stand on: site.css has the same
DARK_PAGE = ("#10181e", "#18232b")
_STEPS = 50

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Accent:
    """A colour for links and buttons, and the text on it."""

    color: str
    ink: str


def accent_on(color: str, page: tuple[str, ...]) -> Accent:
    """Return the shade of `color` nearest to it that can be read on all of `page`.

    Shades go towards black or white, whichever is further from the page.
    """
    end = max((BLACK, WHITE), key=lambda end: min(contrast(end, under) for under in page))
    shade = next(
        shade
        for shade in (_mixed(color, end, step / _STEPS) for step in range(_STEPS + 1))
        if all(contrast(shade, under) >= CONTRAST_MIN for under in page)
    )
    # Of black and white one always reads: their contrasts multiply to 21.
    return Accent(shade, max((WHITE, BLACK), key=lambda ink: contrast(shade, ink)))


def contrast(one: str, other: str) -> float:
    """Return how well one colour stands out from another: 1 (not at all) to 21."""
    darker, lighter = sorted((_luminance(_rgb(one)), _luminance(_rgb(other))))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(rgb: Rgb) -> float:
    red, green, blue = (_linear(part / 255) for part in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    linear: float = ((part + 0.055) / 1.055) ** 2.4
    return part / 12.92 if part <= 0.04045 else linear


def _mixed(color: str, end: str, share: float) -> str:
    parts = (
        round(here + (there - here) * share)
        for here, there in zip(_rgb(color), _rgb(end), strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in parts)


def _rgb(color: str) -> Rgb:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
