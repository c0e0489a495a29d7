"""Ray Serve with `@serve.batch` of up to 16, one replica on one core; all else is Ray's default.

It listens on every address of the machine, so it is started in a network of its own only.
"""

import asyncio
import logging
import os
import signal
import threading

import ray  # type: ignore[import-not-found,unused-ignore]
from ray import serve
from starlette.requests import Request

from benchmarks.serving.peers.common import Answer, Model, options
from benchmarks.serving.process import PRIVATE


# By default five requests reach a replica at a time, which would leave nothing to put together.
@serve.deployment(max_ongoing_requests=1024)  # type: ignore[untyped-decorator,unused-ignore]
class Voice:
    """A checkpoint behind Ray Serve.

    Args:
        model: Bundled name or folder.
        engine: How the network is run.
    """

    def __init__(self, model: str, engine: str) -> None:
        self.model = Model(model, engine)

    @serve.batch(max_batch_size=16)  # type: ignore[untyped-decorator,unused-ignore]
    async def batch(self, files: list[bytes]) -> list[Answer]:
        """The bytes of files -> answers."""
        return await asyncio.to_thread(self._run, files)

    def _run(self, files: list[bytes]) -> list[Answer]:
        return self.model.answers([self.model.decode(data) for data in files])

    async def __call__(self, request: Request) -> Answer:
        """One request."""
        answer: Answer = await self.batch(await request.body())
        return answer


def main() -> None:
    """Command line."""
    given = options(__doc__).parse_args()
    if not os.environ.get(PRIVATE):
        raise SystemExit("start it by `python -m benchmarks.serving --ray`: it needs a network of its own")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ray.init(
        include_dashboard=False,
        logging_level=logging.WARNING,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    serve.start(http_options={"host": "127.0.0.1", "port": given.port})
    application = Voice.bind(given.model, given.engine)  # type: ignore[attr-defined,unused-ignore]
    serve.run(application, route_prefix="/classify")
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
