"""The static files inside the package: GraphiQL's build and the pages' own style.

A browser may keep an asset forever, because every address changes with its content: the build puts
a hash into the names of its files, and `address` puts one behind `?v=` for the others.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from firnline.errors import FirnlineError

STATIC = Path(__file__).parent / "static"
_FOREVER = "public, max-age=31536000, immutable"
_BUILD_MANIFEST = "graphiql/manifest.json"

# Not what the machine's own tables say: where those are wrong or missing, no script would run.
_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
}


class AssetError(FirnlineError):
    """A static file that the pages need is not in the installation."""

    code = "asset_missing"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the static file {name} is missing or damaged", hint="Install Firnline again."
        )


@dataclass(frozen=True, slots=True)
class Bundle:
    """Addresses of the built GraphiQL."""

    script: str
    styles: tuple[str, ...]


class Assets(StaticFiles):
    """Serves the package's static files."""

    def __init__(self, folder: Path = STATIC) -> None:
        super().__init__(directory=folder)
        self._folder = folder

    def address(self, name: str) -> str:
        """Return the address of a file, which changes when the file does."""
        return f"/static/{name}?v={self._version(name)}"

    def bundle(self) -> Bundle:
        """Return where the built GraphiQL starts."""
        try:
            manifest = json.loads((self._folder / _BUILD_MANIFEST).read_bytes())
            entry = next(part for part in manifest.values() if part.get("isEntry"))
        except (OSError, ValueError, StopIteration) as error:
            raise AssetError(_BUILD_MANIFEST) from error
        styles = tuple(f"/static/graphiql/{name}" for name in entry.get("css", ()))
        return Bundle(f"/static/graphiql/{entry['file']}", styles)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Serve `path`, telling the browser to keep it when its address names its content."""
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            content_type = _CONTENT_TYPES.get(Path(path).suffix, "application/octet-stream")
            response.headers["content-type"] = content_type
        if response.status_code in {200, 304}:
            response.headers["cache-control"] = (
                _FOREVER if self._is_pinned(path, scope) else "no-cache"
            )
        return response

    def _is_pinned(self, path: str, scope: Scope) -> bool:
        query: bytes = scope["query_string"]
        if path.startswith("graphiql/assets/"):
            return True
        return query.startswith(b"v=") and query[2:].decode("latin-1") == self._version(path)

    def _version(self, name: str) -> str:
        try:
            return hashlib.sha256((self._folder / name).read_bytes()).hexdigest()[:12]
        except OSError as error:
            raise AssetError(name) from error
