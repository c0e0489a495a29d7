/* Reads 16-bit mono PCM, little-endian, SNN_RATE samples a second, from the standard input.

   listen         prints each word that it hears, with its time
   listen --clip  takes every SNN_CLIP_SAMPLES for a clip, and prints its three best labels */

#include <stdio.h>
#include <string.h>

#include "snn_voice.h"

static SnnVoice voice;
static int16_t samples[SNN_CLIP_SAMPLES];

/* Up to `wanted` samples. */
static size_t take(size_t wanted) {
    size_t count = 0;
    unsigned char bytes[2];
    while (count < wanted && fread(bytes, 1, 2, stdin) == 2)
        samples[count++] = (int16_t)(uint16_t)(bytes[0] | bytes[1] << 8);
    return count;
}

static void print_score(int label, unsigned score) {
    unsigned shown = (score * 10000u + SNN_ONE / 2) / SNN_ONE;
    printf("%s %u.%04u", snn_labels[label], shown / 10000u, shown % 10000u);
}

static void hear(size_t count) {
    for (size_t done = 0; done < count;) {
        SnnEvent event;
        done += snn_voice_feed(&voice, samples + done, count - done, &event);
        if (event.label < 0) continue;
        printf("%lu.%02lu ", (unsigned long)event.time / 1000, (unsigned long)event.time % 1000 / 10);
        print_score(event.label, event.score);
        printf("\n");
        fflush(stdout);
    }
}

static void classify(size_t count) {
    uint16_t scores[SNN_CLASSES];
    int label = snn_voice_clip(&voice, samples, count, scores);
    for (unsigned place = 0; place < 3 && place < SNN_CLASSES; place++) {
        if (place) {
            label = -1;
            for (int i = 0; i < (int)SNN_CLASSES; i++)
                if (scores[i] <= SNN_ONE && (label < 0 || scores[i] > scores[label])) label = i;
            printf(" ");
        }
        print_score(label, scores[label]);
        scores[label] = UINT16_MAX; /* was told */
    }
    printf("\n");
}

int main(int count, char **given) {
    int clips = count == 2 && !strcmp(given[1], "--clip");
    if (count > 1 && !clips) {
        fprintf(stderr, "usage: listen [--clip] < PCM\n");
        return 2;
    }
    size_t found;
    snn_voice_reset(&voice);
    while ((found = take(clips ? SNN_CLIP_SAMPLES : SNN_STEP_SAMPLES)) > 0)
        clips ? classify(found) : hear(found);
    if (!clips) { /* as if silence followed */
        memset(samples, 0, sizeof samples);
        hear(SNN_CLIP_SAMPLES - 1);
    }
    return 0;
}
