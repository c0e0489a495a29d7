"""The service that everybody writes first: a FastAPI endpoint that calls the model.

The endpoint is a plain `def`, so Starlette runs it in its pool of 40 threads.
"""

from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI

from benchmarks.serving.peers.common import MEDIA_TYPE, Answer, loop_classify, options, plain_classify


def main() -> None:
    """Command line."""
    parser = options(__doc__)
    parser.add_argument("--loop", action="store_true", help="the paper's loop over the steps")
    given = parser.parse_args()
    run = loop_classify(given.model) if given.loop else plain_classify(given.model, given.engine)
    app = FastAPI()

    @app.post("/classify")
    def classify(data: Annotated[bytes, Body(media_type=MEDIA_TYPE)]) -> Answer:
        return run(data)

    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
