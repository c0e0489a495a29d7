"""A service that reads a request and answers the same at once: how fast can the load be at best?"""

import argparse
import asyncio

LABEL = "null"
_BODY = b'[{"label":"%s","score":1.0}]' % LABEL.encode()
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class Null(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._data[:end].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(self._data) >= end + 4 + length:
            self._data = b""
            self._transport.write(_ANSWER)


async def serve(port: int) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_known_args()[0].port))


if __name__ == "__main__":
    main()
