"""Pages of other origins: where browsers do not ask whether they may call, the service looks itself."""

from __future__ import annotations

from collections.abc import Collection

from starlette.requests import HTTPConnection

from snn_voice_server.failures import RequestError, shown


def check_origin(connection: HTTPConnection, allowed: Collection[str], what: str) -> None:
    """Refuse pages of other origins, unless a setting lets them: of WebSockets and forms browsers ask nobody.

    Args:
        connection: A request or a WebSocket.
        allowed: Origins that may; "*" for all.
        what: What they want, for the message.

    Raises:
        RequestError: This one may not.
    """
    origin = connection.headers.get("origin", "")
    if not origin or "*" in allowed or origin in allowed:
        return
    if origin.partition("://")[2] != connection.headers.get("host", ""):
        raise RequestError(
            f"pages of {shown(origin)} may not {what}",
            hint="start with --cors-origins and that origin",
            code="forbidden",
        )
