"""A fleet as a child process: `python -m firnline.sandbox PLAN`, with the plan as JSON.

Prints one JSON line when ready, `{"ready": true}`, or why not, `{"error": {...}}`. Ends when its
standard input ends, so that it never outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import gc
import sys

import orjson
from pydantic import ValidationError

from firnline.clock import SystemClock
from firnline.errors import FirnlineError, UsageError
from firnline.sandbox.serving import ServePlan, served


async def _until_input_ends() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _serve(plan: ServePlan) -> None:
    async with served(plan, clock=SystemClock()):
        # The world stays: collecting garbage among its records would only make calls wait.
        gc.freeze()
        _say({"ready": True})
        await _until_input_ends()


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Serve the plan; return the exit code."""
    try:
        plan = ServePlan.model_validate_json(arguments[0] if arguments else "")
        asyncio.run(_serve(plan))
    except ValidationError as error:
        refused = UsageError(f"the plan is not valid: {error.errors()[0]['msg']}")
        _say({"error": refused.as_dict()})
        return refused.exit_code
    except FirnlineError as error:
        _say({"error": error.as_dict()})
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
