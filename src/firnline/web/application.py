"""Puts the HTTP edges together into one ASGI application over a gateway.

Routes match on the path alone; nothing here believes the Host header.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from firnline.access.principal import TokenVerifier
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.settings import Settings
from firnline.web.assets import Assets
from firnline.web.authentication import Authentication
from firnline.web.connection import CONNECTIONS_MAX
from firnline.web.figures import FiguresEdge
from firnline.web.gateway import Gateway
from firnline.web.graphiql import GraphiQL
from firnline.web.graphql import GraphEdge
from firnline.web.health import Health
from firnline.web.limiter import QueryLimiter
from firnline.web.open_streams import OpenStreams
from firnline.web.refusals import Refuser
from firnline.web.shield import Shield
from firnline.web.signin import OwnAddress, Sessions, SignIn

# Routes of pages, from the templates.
PageRoutes = Callable[[Environment], Sequence[BaseRoute]]


def create_web(
    *,
    gateway: Gateway,
    verifier: TokenVerifier,
    settings: Settings,
    clock: Clock,
    authentication: Authentication | None = None,
    admin: Sequence[BaseRoute] = (),
    connect: PageRoutes | None = None,
) -> ASGIApp:
    """Return the web application; sign-in and GraphiQL are in it in development only.

    `authentication` says who asks where more than tokens of `verifier` are accepted; `admin` are
    the admin API's routes; `connect` gives those of the pages for connecting systems.
    """
    authentication = authentication or Authentication(verifier)
    assets = Assets()
    pages = _pages(assets)
    refuser = Refuser(pages)
    limiter = QueryLimiter(
        running_max=settings.queries_running_max,
        waiting_max=settings.queries_waiting_max,
        wait_s=settings.request_deadline_s / 2,  # the other half is for the answer
    )
    streams = OpenStreams(
        tenant_max=settings.subscriptions_max,
        person_max=settings.subscriptions_person_max,
        total_max=CONNECTIONS_MAX // 2,  # whoever asks questions must find a connection
    )
    edge = GraphEdge(
        gateway,
        authentication,
        limiter=limiter,
        streams=streams,
        clock=clock,
        deadline_s=settings.request_deadline_s,
    )
    health = Health(gateway)
    figures = FiguresEdge(
        gateway,
        streams=streams,
        keys=authentication.keys,
        token=settings.metrics_token,
        development=settings.development,
    )
    routes: list[BaseRoute] = [
        Route("/healthz", health.alive, methods=["GET"]),
        Route("/readyz", health.ready, methods=["GET"]),
        Route("/metrics", figures.show, methods=["GET"]),
        Mount("/static", assets),
        *admin,
    ]
    routes += connect(pages) if connect else ()
    if settings.development:
        routes += _development_routes(gateway, settings, assets, pages, clock=clock)
    web = Starlette(
        routes=routes,
        middleware=[Middleware(Shield, refuser=refuser)],
        exception_handlers={
            FirnlineError: refuser.on_error,
            HTTPException: refuser.on_error,
        },
    )
    # Its redirect to the path with or without a slash is built from the Host header.
    web.router.redirect_slashes = False
    return _Front(Shield(edge, refuser=refuser), web)


class _Front:
    """Leads requests of the one busy address past the framework's routing."""

    def __init__(self, graphql: ASGIApp, others: ASGIApp) -> None:
        self._graphql = graphql
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_graphql = scope["type"] == "http" and scope["path"] == "/graphql"
        await (self._graphql if is_graphql else self._others)(scope, receive, send)


def _development_routes(
    gateway: Gateway, settings: Settings, assets: Assets, pages: Environment, *, clock: Clock
) -> list[BaseRoute]:
    sessions = Sessions(settings, clock=clock)
    own = OwnAddress(settings.public_url)
    sign_in = SignIn(gateway, sessions, own, pages=pages)
    graphiql = GraphiQL(gateway, sessions, own, bundle=assets.bundle(), pages=pages)
    return [
        Route("/", _to_sign_in, methods=["GET"]),
        Route("/signin", sign_in.show, methods=["GET"]),
        Route("/signin", sign_in.sign_in, methods=["POST"]),
        Route("/graphiql/{tenant}", graphiql.show, methods=["GET"]),
        Route("/graphiql/{tenant}/token", graphiql.token, methods=["POST"]),
    ]


async def _to_sign_in(request: Request) -> Response:
    return RedirectResponse("/signin", status_code=303)


def _pages(assets: Assets) -> Environment:
    pages = Environment(
        loader=PackageLoader("firnline.web"), autoescape=True, undefined=StrictUndefined
    )
    pages.globals["asset"] = assets.address
    return pages
