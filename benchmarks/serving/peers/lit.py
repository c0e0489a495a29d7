"""LitServe with batches of up to 16: sound is decoded in `decode_request`, the network runs in `predict`.

`batch_timeout` is that of LitServe's own benchmark, 0.01 s. Its default, 0, makes the worker ask for requests
without a pause.
"""

from typing import Annotated

import litserve  # type: ignore[import-not-found,import-untyped,unused-ignore]
from fastapi import Body
from torch import Tensor

from benchmarks.serving.peers.common import MEDIA_TYPE, Answer, Model, options


class VoiceAPI(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    """A checkpoint behind LitServe.

    Args:
        model: Bundled name or folder.
        engine: How the network is run.
        **settings: LitServe's own.
    """

    def __init__(self, model: str, engine: str, **settings: object) -> None:
        super().__init__(**settings)
        self._choice = (model, engine)

    def setup(self, device: str) -> None:
        """Load the model, once in each worker."""
        self.model = Model(*self._choice)

    # With the type of the body given, LitServe hands on the bytes as they are.
    def decode_request(self, request: Annotated[bytes, Body(media_type=MEDIA_TYPE)]) -> Tensor:
        """The bytes of a file -> waveform."""
        return self.model.decode(request)

    def predict(self, x: Tensor) -> list[Answer]:
        """Waveforms, stacked by LitServe -> answers."""
        return self.model.answers(x)


def main() -> None:
    """Command line."""
    parser = options(__doc__)
    parser.add_argument("--batch-timeout", type=float, default=0.01)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--fast-queue", action="store_true")
    given = parser.parse_args()
    api = VoiceAPI(
        given.model,
        given.engine,
        max_batch_size=16,
        batch_timeout=given.batch_timeout,
        api_path="/classify",
    )
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=given.workers, fast_queue=given.fast_queue
    )
    server.run(
        host="127.0.0.1",
        port=given.port,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
