"""`multipart/form-data`, read from a body that is already in memory and within the limit."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from snn_voice_server.failures import RequestError

# A classify request has one file and a few settings; more parts only cost time.
_MAX_PARTS = 16
_MAX_NAME = 255


@dataclass
class FormPart:
    """One part of a form.

    Attributes:
        name: The field's name.
        data: Its content, undecoded.
        file_name: The file's name, as the client gave it.
    """

    name: str = ""
    data: bytes = b""
    file_name: str = ""


@dataclass
class _Collector:
    """Receives the parser's callbacks; the positions are into the chunk that is being parsed."""

    max_parts: int
    too_many: RequestError
    parts: list[FormPart] = field(default_factory=list)
    ended: bool = False
    _header: bytes = b""
    _value: bytes = b""
    _chunks: list[bytes] = field(default_factory=list)

    def on_part_begin(self) -> None:
        if len(self.parts) == self.max_parts:
            raise self.too_many
        self.parts.append(FormPart())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self.parts[-1].name = options.get(b"name", b"").decode("utf-8", "replace")
            self.parts[-1].file_name = options.get(b"filename", b"").decode("utf-8", "replace")[:_MAX_NAME]
        self._header = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._chunks.append(data[start:end])

    def on_part_end(self) -> None:
        self.parts[-1].data = b"".join(self._chunks)
        self._chunks = []

    def on_end(self) -> None:
        self.ended = True


def read_form(
    body: bytes, content_type: str, *, max_parts: int = _MAX_PARTS, too_many: RequestError | None = None
) -> list[FormPart]:
    """The parts of a form, in order.

    Args:
        body: The whole body of the request.
        content_type: Its header, which names the boundary.
        max_parts: A form of more is refused.
        too_many: What it is told then.

    Returns:
        The parts; two may have the same name.

    Raises:
        RequestError: No boundary, a form that is broken or cut off, or one of too many parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise RequestError(
            "Content-Type is multipart/form-data without a boundary",
            hint="let the client set the header, as `curl -F file=@yes.wav` does",
            code="bad_form",
        )
    refusal = RequestError(f"the form has more than {max_parts} parts", code="bad_form")
    collector = _Collector(max_parts, too_many or refusal)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": collector.on_part_begin,
                "on_header_field": collector.on_header_field,
                "on_header_value": collector.on_header_value,
                "on_header_end": collector.on_header_end,
                "on_part_data": collector.on_part_data,
                "on_part_end": collector.on_part_end,
                "on_end": collector.on_end,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise RequestError("the body is not a form in multipart/form-data", code="bad_form") from error
    # The parser itself is content with a form that stops in the middle.
    if not collector.ended:
        raise RequestError(
            "the form is cut off: its closing boundary is missing",
            hint="was it sent to the end?",
            code="bad_form",
        )
    return collector.parts
