"""How the pages that a tenant's admins see look like the builder's own, and not like Firnline's.

Part of firnline.yaml; the connect pages receive it. A logo is shown from our own origin only, so a
file is read from the project, and one at an https address is fetched by the server.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import StringConstraints

from firnline.spec.closed import Closed

LOGO_BYTES_MAX = 256 * 1024
LOGO_KINDS = "PNG, JPEG, GIF, WebP or SVG"
_SVG = re.compile(rb"\A(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<svg[\s>]", re.DOTALL)
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


class Branding(Closed):
    """The builder's name, colour and logo on the pages for connecting systems."""

    name: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{0,80}$")] = ""
    """What people call the builder's product; the integration's name when absent."""

    color: Annotated[str, StringConstraints(pattern=r"^(#[0-9a-fA-F]{6})?$")] = ""
    """The accent, such as "#0f6c9c". Shades of it are chosen that can be read."""

    logo: Annotated[
        str, StringConstraints(pattern=r"^(https://[^\s\\]{1,500}|[^\s:\\]{1,200})?$")
    ] = ""
    """A picture in the project's directory, or at an https address."""

    support_url: Annotated[
        str,
        StringConstraints(
            pattern=r"^(https://[^\s\\]{1,500}|mailto:[^\s?]{1,200}@[^\s?]{1,200})?$"
        ),
    ] = ""
    """Where people get help: an https or mailto address."""

    @property
    def is_logo_elsewhere(self) -> bool:
        """Say whether the logo has to be fetched."""
        return self.logo.startswith("https://")


def picture_kind(content: bytes) -> str:
    """Return the media type of a picture by its own first bytes, empty when it is none."""
    for start, kind in _STARTS:
        if content.startswith(start):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return "image/svg+xml" if _SVG.match(content[:4096]) else ""


def logo_file(directory: Path, logo: str) -> Path | None:
    """Return a logo's place in the project, None where it would lie outside of it."""
    parts = PurePosixPath(logo)
    if parts.is_absolute() or ".." in parts.parts:
        return None
    path = (directory / parts).resolve()
    return path if path.is_relative_to(directory.resolve()) else None


def logo_problem(directory: Path, logo: str) -> str:
    """Say what is wrong with a logo that is a file, nothing when it can be shown."""
    path = logo_file(directory, logo)
    if path is None:
        return "the logo must lie in the project's directory"
    try:
        with path.open("rb") as file:
            content = file.read(LOGO_BYTES_MAX + 1)
    except (OSError, ValueError):
        return "the logo cannot be read"
    if len(content) > LOGO_BYTES_MAX:
        return f"the logo is over {LOGO_BYTES_MAX // 1024} KB"
    return "" if picture_kind(content) else f"the logo is not a {LOGO_KINDS}"
