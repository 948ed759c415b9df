"""`/healthz` and `/readyz`: whether the process runs, and whether it can serve.

The gateway says how each component is; an orchestrator receives 200 or 503 with the reasons.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import orjson
from starlette.requests import Request
from starlette.responses import Response

from firnline.web.gateway import Gateway

READY_DEADLINE_S = 5.0

_log = logging.getLogger("firnline.web")


class Health:
    """The two probes."""

    def __init__(self, gateway: Gateway, *, deadline_s: float = READY_DEADLINE_S) -> None:
        self._gateway = gateway
        self._deadline_s = deadline_s

    async def alive(self, request: Request) -> Response:
        """Answer 200 for as long as the event loop turns."""
        return _json({"status": "ok"}, 200)

    async def ready(self, request: Request) -> Response:
        """Answer 200 when every component is "ok", otherwise 503 with each component's reason."""
        components = await self._components()
        is_ready = all(state == "ok" for state in components.values())
        status = "ready" if is_ready else "not ready"
        return _json({"status": status, "components": components}, 200 if is_ready else 503)

    async def _components(self) -> Mapping[str, str]:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._gateway.ready()
        except TimeoutError:
            return {"gateway": f"did not answer within {self._deadline_s:g} seconds"}
        except Exception:  # noqa: BLE001 - a probe reports any failure as not ready
            _log.exception("the readiness check failed")
            return {"gateway": "its readiness check failed; the log has the cause"}


def _json(facts: Mapping[str, object], status: int) -> Response:
    return Response(orjson.dumps(facts), status_code=status, media_type="application/json")
