"""The web application of an opened project, with what has to run beside it.

Takes an `App`; the server receives the one ASGI application of all edges.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.types import ASGIApp

from firnline.access.principal import TokenVerifier
from firnline.app import App
from firnline.settings import Settings
from firnline.transport.published import read_published
from firnline.web.admin.endpoints import admin_routes
from firnline.web.admin.work import AdminWork
from firnline.web.api_keys import ApiKeys
from firnline.web.application import create_web
from firnline.web.authentication import Authentication
from firnline.web.backend import ProjectGateway
from firnline.web.connect import connect_routes
from firnline.web.key_sources import KeySources


@asynccontextmanager
async def project_web(app: App, settings: Settings | None = None) -> AsyncIterator[ASGIApp]:
    """Yield the application; meanwhile the keys of issuers are kept current.

    `settings` stand for the project's own. Raises SigningKeysError.
    """
    settings = settings or app.settings
    verifier = TokenVerifier.from_settings(settings, clock=app.clock)
    sources = KeySources(
        verifier.issuers.values(),
        fetch=partial(read_published, transport=app.connections.transport),
        clock=app.clock,
    )
    keys = ApiKeys(app.state.api_keys, clock=app.clock)
    authentication = Authentication(verifier, sources=sources, keys=keys)
    watching = asyncio.create_task(sources.keep_fresh())
    try:
        yield create_web(
            gateway=ProjectGateway(app),
            verifier=verifier,
            settings=settings,
            clock=app.clock,
            authentication=authentication,
            admin=admin_routes(AdminWork(app), authentication),
            connect=partial(connect_routes, app),
        )
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await keys.close()
