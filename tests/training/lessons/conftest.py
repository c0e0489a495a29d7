"""The synthesiser that hums, of the tests beside these."""

from tests.training.voices.conftest import few_words, hum

__all__ = ["few_words", "hum"]
