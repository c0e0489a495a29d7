"""What is known of Speech Commands v0.02, and of the clips of it that the bundled models learned from."""

from __future__ import annotations

# Words with at least a few hundred training speakers in the data at hand; accuracy is averaged over these,
# and the others are reported apart.
COVERED = (
    *("one", "zero", "two", "five", "three", "four", "left", "right", "cat", "happy"),
    *("bed", "down", "up", "go", "stop", "yes", "no", "eight", "off", "on"),
)

BACKGROUND = "_background_noise_"  # the folder of recordings that are mixed in, and are no word
# Recordings of it that nothing learns from, so that false alarms can be measured on them.
HELD_OUT_NOISE = ("exercise_bike", "running_tap")

LISTS = ("validation_list.txt", "testing_list.txt")
