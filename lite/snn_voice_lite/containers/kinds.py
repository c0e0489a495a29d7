"""Which kind of sound file bytes are, by their beginning."""

from __future__ import annotations

from snn_voice_lite.containers.chunks import arrange_au, arrange_chunks
from snn_voice_lite.containers.faults import cut, looks_like, not_audio
from snn_voice_lite.containers.marks import kind_of
from snn_voice_lite.containers.mpeg import first_frame, tag_length
from snn_voice_lite.containers.streams import arrange_flac, arrange_mp3, arrange_ogg
from snn_voice_lite.containers.view import FileView

_HEAD = 4096  # bytes that are looked at
_MAX_TAGS = 8
_ROOM_BEHIND_TAG = 1 << 16  # bytes that taggers leave free, at most


def arrange(view: FileView, label: str) -> tuple[str, bool]:
    """See what a file is and whether it is complete, and let a decoder see what it needs of it.

    Args:
        view: The file.
        label: What to call it in errors.

    Returns:
        Its kind, and whether its samples were found, so that only their encoding can be unknown.

    Raises:
        AudioError: It is no sound, it is cut off, or it is more than one file.
    """
    tagged = False
    for _ in range(_MAX_TAGS):  # other files than MP3 are tagged in this way too
        if not (length := tag_length(view, 0)):
            break
        view.drop(length)
        tagged = True
    head = view.peek(0, _HEAD)
    kind = kind_of(head)
    if kind == "MP3" or (kind is None and (tagged or not looks_like(head))):
        frame = first_frame(view, _ROOM_BEHIND_TAG if tagged else _HEAD)
        if frame is not None or kind == "MP3":
            arrange_mp3(view, frame or 0, label)
            return "MP3", False
    if kind is None:
        raise cut(label, "no sound that is known follows its ID3 tag") if tagged else not_audio(label, head)
    if kind == "OGG":
        arrange_ogg(view, label)
    elif kind == "FLAC":
        arrange_flac(view)
    elif kind == "AU":
        arrange_au(view, head, label)
    else:
        return kind, arrange_chunks(view, head, label)
    return kind, kind == "AU"
