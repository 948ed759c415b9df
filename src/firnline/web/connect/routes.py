"""The addresses of the connect pages.

Takes an `App` and the templates; the web application mounts the routes. No tenant's name is taken
away by a page's: what is not a tenant's has one part more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firnline.app import App
from firnline.errors import FirnlineError
from firnline.transport.published import read_published
from firnline.web.connect.answers import ConnectAnswers
from firnline.web.connect.desk import ConnectDesk
from firnline.web.connect.pages import ConnectPages
from firnline.web.connect.sessions import ConnectCookies
from firnline.web.connect.theme import LOGO_PATH, STYLE_PATH, Theme

Endpoint = Callable[[Request], Awaitable[Response]]


def connect_routes(app: App, pages: Environment) -> Sequence[BaseRoute]:
    """Return the routes of one project's connect pages."""
    theme = _theme(app)
    cookies = ConnectCookies(app.connect_links, public_url=app.settings.public_url, clock=app.clock)
    desk = ConnectDesk(app, cookies=cookies, theme=theme, pages=pages)
    lists, answers = ConnectPages(desk), ConnectAnswers(desk)

    def route(path: str, get: Endpoint | None = None, post: Endpoint | None = None) -> list[Route]:
        by_method = {"GET": get, "POST": post}
        return [
            Route(f"/connect{path}", _kindly(desk, endpoint), methods=[method])
            for method, endpoint in by_method.items()
            if endpoint
        ]

    return [
        Route(STYLE_PATH, theme.style, methods=["GET"]),
        Route(LOGO_PATH, theme.logo, methods=["GET"]),
        *route("/callback/{provider}", answers.come_back),
        *route("/{tenant}", lists.show),
        *route("/{tenant}/{connection}/connect", post=lists.connect),
        *route("/{tenant}/{connection}/enter", lists.enter, lists.entered),
        *route("/{tenant}/{connection}/confirm", answers.check, answers.confirm),
        *route("/{tenant}/{connection}/discard", post=answers.discard),
        *route("/{tenant}/{connection}/disconnect", lists.ask_to_disconnect, lists.disconnect),
    ]


def _theme(app: App) -> Theme:
    async def fetch(url: str) -> bytes:
        return (await read_published(url, transport=app.connections.transport)).content

    return Theme(
        app.project.integration.branding,
        name=app.project.integration.name,
        directory=app.directory,
        fetch=fetch,
        clock=app.clock,
    )


def _kindly(desk: ConnectDesk, endpoint: Endpoint) -> Endpoint:
    """Answer refusals with a page in the builder's look."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except FirnlineError as error:
            tenant = request.path_params.get("tenant", "")
            is_known = tenant in desk.app.project.tenants
            session = desk.cookies.find(request, tenant) if is_known else None
            return desk.trouble(error, session=session)

    return answer
