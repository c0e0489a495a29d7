/* Hears PCM from the standard input, and counts the instructions of each 20 ms of it.

   Under `qemu -icount shift=0` an instruction takes a nanosecond; SysTick runs at 25 MHz. */

#include <stdint.h>
#include <stdio.h>

#include "snn_voice.h"

#define SYSTICK ((volatile uint32_t *)0xe000e010)
#define INSTRUCTIONS_PER_TICK 40u

static SnnVoice voice;
static int16_t samples[SNN_STEP_SAMPLES];

static unsigned long heard_in(size_t count) {
    uint32_t before = SYSTICK[2], ticks = 0;
    for (size_t done = 0; done < count;) {
        SnnEvent event;
        done += snn_voice_feed(&voice, samples + done, count - done, &event);
        ticks += (before - SYSTICK[2]) & 0xffffffu; /* printing is not counted */
        if (event.label >= 0)
            printf("%lu.%02lu %s\n", (unsigned long)event.time / 1000, (unsigned long)event.time % 1000 / 10,
                   snn_labels[event.label]);
        before = SYSTICK[2];
    }
    return ticks * INSTRUCTIONS_PER_TICK;
}

int main(void) {
    unsigned long steps = 0, most = 0;
    unsigned long long all = 0;
    SYSTICK[1] = 0xffffff;
    SYSTICK[0] = 5;
    snn_voice_reset(&voice);
    while (fread(samples, sizeof *samples, SNN_STEP_SAMPLES, stdin) == SNN_STEP_SAMPLES) {
        unsigned long taken = heard_in(SNN_STEP_SAMPLES);
        all += taken;
        steps++;
        if (taken > most) most = taken;
    }
    if (steps)
        printf("%lu steps, %lu thousand instructions in the mean, %lu at most; %lu million a second of sound\n", steps,
               (unsigned long)(all / steps / 1000), most / 1000,
               (unsigned long)(all * SNN_RATE / SNN_STEP_SAMPLES / steps / 1000000));
    printf("%u bytes of RAM for a stream\n", (unsigned)sizeof voice);
    return 0;
}
