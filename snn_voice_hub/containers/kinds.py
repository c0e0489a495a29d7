"""Which kind of sound file bytes are, by their beginning."""

from __future__ import annotations

from snn_voice_hub.containers.chunks import arrange_au, arrange_chunks
from snn_voice_hub.containers.faults import cut, looks_like, not_audio
from snn_voice_hub.containers.mpeg import arrange_mp3, first_frame, tag_length
from snn_voice_hub.containers.streams import arrange_flac, arrange_ogg
from snn_voice_hub.containers.window import Window

_HEAD = 4096  # bytes that are looked at
_MAX_TAGS = 8
_ROOM_BEHIND_TAG = 1 << 16  # bytes that taggers leave free, at most
_WAVE = {b"RIFF": "WAV", b"RIFX": "WAV", b"RF64": "RF64", b"BW64": "RF64"}


def arrange(window: Window, label: str) -> tuple[str, bool]:
    """See what a file is and whether it is complete, and let a decoder see what it needs of it.

    Args:
        window: The file.
        label: What to call it in errors.

    Returns:
        Its kind, and whether its samples were found, so that only their encoding can be unknown.

    Raises:
        AudioError: It is no sound, it is cut off, or it is more than one file.
    """
    tagged = False
    for _ in range(_MAX_TAGS):  # other files than MP3 are tagged in this way too
        if not (length := tag_length(window, 0)):
            break
        window.drop(length)
        tagged = True
    head = window.peek(0, _HEAD)
    kind = _kind(head)
    if kind == "MP3" or (kind is None and (tagged or not looks_like(head))):
        frame = first_frame(window, _ROOM_BEHIND_TAG if tagged else _HEAD)
        if frame is not None or kind == "MP3":
            arrange_mp3(window, frame or 0, label)
            return "MP3", False
    if kind is None:
        raise cut(label, "no sound that is known follows its ID3 tag") if tagged else not_audio(label, head)
    if kind == "OGG":
        arrange_ogg(window, label)
    elif kind == "FLAC":
        arrange_flac(window)
    elif kind == "AU":
        arrange_au(window, head, label)
    else:
        return kind, arrange_chunks(window, head, label)
    return kind, kind == "AU"


def _kind(head: bytes) -> str | None:
    magic, form = head[:4], head[8:12]
    if magic in _WAVE and form == b"WAVE":
        return _WAVE[magic]
    if magic == b"FORM" and form in (b"AIFF", b"AIFC"):
        return "AIFF"
    if magic == b"riff" and head[24:28] == b"wave":
        return "W64"
    if magic == b"caff" and len(head) >= 8:
        return "CAF"
    if magic in (b".snd", b"dns."):
        return "AU"
    if magic == b"fLaC":
        return "FLAC"
    if magic == b"OggS" and head[28:].startswith((b"\x01vorbis", b"OpusHead")):
        return "OGG"
    # Eleven bits: a guess that the frames behind it or the decoder have to confirm.
    sync = magic[:1] == b"\xff" and magic[1:2] >= b"\xe0"
    return "MP3" if sync else None
