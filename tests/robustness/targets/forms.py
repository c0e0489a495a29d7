"""Bodies of requests: sound, forms and JSON, by `parse` and `parse_batch`.

The first line is the content type, the second the query.
"""

from __future__ import annotations

import base64
import json
from typing import Final
from urllib.parse import parse_qsl

from snn_voice_server.failures import RequestError
from snn_voice_server.http.parsing import parse, parse_batch
from snn_voice_server.http.questions import SETTINGS

from tests.robustness.contract import told

_FORM: Final = "multipart/form-data; boundary=x"
WORDS: Final = (
    *(name.encode() for name in SETTINGS),
    *(
        b"multipart/form-data; boundary=",
        b"application/json",
        b"audio/wav",
        b"; charset=utf-16",
        b"--x\r\n",
        b"--x--",
    ),
    *(
        b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
        b'"inputs": "',
        b'"parameters": {',
    ),
    *(
        b"filename*=utf-8''",
        b"data:audio/wav;base64,",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"RIFF",
        b"\r\n\r\n",
        b"\\ud800",
    ),
    *(b"1" * 310, b"[" * 50, b"http://"),
)


def run(data: bytes) -> str:
    """Read them as a request for one clip, and for several."""
    kind, _, rest = data.partition(b"\n")
    query, _, body = rest.partition(b"\n")
    header = kind.decode("latin-1")
    pairs = parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True)
    outcomes = []
    try:
        assert parse(body, header, pairs).audio
        outcomes.append("a clip")
    except RequestError as error:
        outcomes.append(told(error))
    try:
        assert len(parse_batch(body, header, pairs, max_files=3).files) in range(1, 4)
        outcomes.append("clips")
    except RequestError as error:
        outcomes.append(told(error))
    return "; ".join(outcomes)


def seeds() -> list[bytes]:
    """One of each kind."""
    head = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    fields = (("file", "RIFFx"), ("top_k", "2"), ("function_to_apply", "none"), ("windows", "true"))
    form = "--x\r\n" + "--x\r\n".join(head.format(*field) for field in fields) + "--x--\r\n"
    several = "--x\r\n" + "--x\r\n".join(head.format("file", clip) for clip in "abc") + "--x--\r\n"
    hub = json.dumps({"inputs": base64.b64encode(b"sound").decode(), "parameters": {"top_k": 3}})
    url = json.dumps(
        {"inputs": "data:audio/wav;base64,AAAA", "parameters": {"min_score": 0.5, "windows": False}}
    )
    return [
        b"audio/wav\ntop_k=3\nRIFF",
        f"{_FORM}\n\n{form}".encode(),
        f"{_FORM}\ntop_k=1&model=x\n{several}".encode(),
        f"application/json\n\n{hub}".encode(),
        f"application/json; charset=utf-8\n\n{url}".encode(),
        b"application/json\n\n" + hub.encode("utf-16"),
    ]
