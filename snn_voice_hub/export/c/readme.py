"""The `README.md` of an exported folder: what it is, how it is built, what it takes."""

from __future__ import annotations

from snn_voice_lite.streaming.ring import GATE
from snn_voice_lite.visible import visible

from snn_voice_hub.config import VoiceConfig, is_word
from snn_voice_hub.export.c.cost import Footprint
from snn_voice_hub.notation import markdown_table

_FILES = (
    ("`snn_voice.h`, `snn_voice.c`", "the interface; sound in, steps, silence"),
    ("`front_end.c`", "window, Fourier transform, mel filters, logarithm"),
    ("`network.c`, `layers.h`", "the neurons; a spike adds its row of weights"),
    ("`detector.c`", "scores, and from when on a word counts as said"),
    ("`model.h`, `model.c`", "sizes, weights and tables of this model"),
    ("`parts.h`", "what these say to each other"),
    ("`main.c`", "reads PCM from the standard input"),
)


def made_of(wide: int, layers: int) -> str:
    """How many bits the weights have."""
    if wide in (0, layers):
        return f"{16 if wide else 8} bits each"
    first = f"the first {wide}" if wide > 1 else "the first"
    return f"16 bits in {first} of {layers} layers, 8 in the others"


def readme(config: VoiceConfig, cost: Footprint, weights: str, constants: dict[str, str]) -> str:
    """The text; `weights` says how many bits they have."""
    words = ", ".join(visible(label) for label in config.labels if is_word(label))
    rate, step = config.features.sample_rate, int(constants["STEP_SAMPLES"].rstrip("u"))
    return f"""# {visible(config.title)} in C

Hears {words} in a stream of 16-bit samples, {rate:,} a second. C99 in integers alone; no heap, no library but
`memcpy` and `memset`. Written by `snn-voice export --to c`.

```sh
gcc -std=c99 -Wall -Wextra -Werror -O2 *.c -o listen
arecord -q -t raw -f S16_LE -r {rate} -c 1 | ./listen    # a word a line: seconds, word, share
./listen --clip < clip.pcm                               # the best labels of {config.features.seconds:g} s
```

`main.c` is for a computer. On a microcontroller all the other files are built, and called like this:

```c
#include "snn_voice.h"

static SnnVoice voice; /* {cost.ram:,} bytes */

void begin(void) {{ snn_voice_reset(&voice); }}

/* Any number of samples at a time; every {step} of them are a step of the network. */
void hear(const int16_t *samples, size_t count) {{
    for (size_t done = 0; done < count;) {{
        SnnEvent event;
        done += snn_voice_feed(&voice, samples + done, count - done, &event);
        if (event.label >= 0) said(snn_labels[event.label]);
    }}
}}
```

{_taken(cost, weights)}

Silence costs less: where nothing was louder than {GATE:g} dB of full scale for as long as an answer looks
back, no step is run.

{markdown_table(("file", ""), _FILES, words=2)}
"""


def _taken(cost: Footprint, weights: str) -> str:
    rows = (
        (f"weights, {weights}", f"{cost.weights:,} bytes"),
        ("other tables", f"{cost.tables:,} bytes"),
        ("code", "about 5 kB for Cortex-M4 by `gcc -O2`; see `size *.o`"),
        ("RAM: one `SnnVoice`, all that is remembered of a stream", f"{cost.ram:,} bytes"),
        ("steps of the network a second", f"{cost.steps:,.0f}"),
        ("multiplications of the first layer a second", f"{cost.products:,.0f}"),
        ("additions of weights a second, if every neuron spiked at every step", f"{cost.dense:,.0f}"),
        ("additions of weights a second, measured on built-in signals", f"{cost.measured:,.0f}"),
    )
    return markdown_table(("what it takes", ""), rows)
