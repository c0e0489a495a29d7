"""What the answers of several routes have in common."""

from __future__ import annotations

from pydantic import BaseModel, Field

WORDS = [{"label": "yes", "score": 0.97}, {"label": "left", "score": 0.01}]


class LabelScore(BaseModel):
    """One label and its score; the answer of `/classify` is a list of these, best first."""

    label: str = Field(description="A word, or a class such as `_silence_`.", examples=["yes"])
    score: float = Field(description='0 to 1; a raw logit under `function_to_apply="none"`.', examples=[0.97])


class ErrorBody(BaseModel):
    """What went wrong, for programs and for people."""

    code: str = Field(description="Short stable identifier.", examples=["not_audio"])
    message: str = Field(
        description="What was wrong.", examples=["the audio data is not sound in a known format"]
    )
    hint: str = Field(description="What would be right; may be empty.")


class ErrorAnswer(BaseModel):
    """Every answer that is not a success."""

    error: ErrorBody
