"""`python -m services.console.web`: the process that the stack starts as `console`."""

import asyncio

import uvicorn

from services.console.web.app import build_app
from shared import telemetry
from shared.settings import settings

NAME = "console"


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    telemetry.log_setup(NAME)
    config = uvicorn.Config(
        build_app(),
        host=settings().http_host,
        port=settings().http_port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
