/* A stream, or a clip: samples -> steps -> answers. */

#include "snn_voice.h"

#include <string.h>

#include "parts.h"

/* The step that ends `end` samples into this hop. */
static void step(SnnVoice *voice, unsigned end) {
    int16_t *here = voice->audio + end - SNN_STEP_SAMPLES; /* SNN_HISTORY before the step */
    for (unsigned i = 0; i + SNN_FRAMES_PER_STEP < SNN_FRAMES; i++)
        memcpy(voice->frames[i], voice->frames[i + SNN_FRAMES_PER_STEP], sizeof voice->frames[0]);
    if (!voice->begun) /* what would be before the stream is mirrored */
        for (unsigned i = 1; i <= SNN_HISTORY && i < SNN_STEP_SAMPLES; i++)
            here[SNN_HISTORY - i] = here[SNN_HISTORY + i];
    for (unsigned i = 0; i < SNN_FRAMES_PER_STEP; i++) {
        int16_t *frame = voice->frames[SNN_FRAMES - SNN_FRAMES_PER_STEP + i];
        if (!voice->begun && i < SNN_LEAD)
            memset(frame, 0, sizeof voice->frames[0]);
        else
            snn_log_mel(here + i * SNN_HOP_LENGTH, voice->spectrum, frame);
    }
    voice->begun = 1;
    snn_network_step(voice);
}

/* Whether the deviation of the hop's samples from their mean is above the gate. */
static int is_loud(const SnnVoice *voice) {
    int64_t sum = 0;
    uint64_t squares = 0;
    for (unsigned i = 0; i < SNN_HOP_SAMPLES; i++) {
        int32_t x = voice->audio[SNN_HISTORY + i];
        sum += x;
        squares += (uint32_t)(x * x);
    }
    return squares * SNN_HOP_SAMPLES - (uint64_t)(sum * sum) > SNN_GATE;
}

static void end_hop(SnnVoice *voice) {
    if (is_loud(voice))
        voice->faded = 0;
    else if (voice->faded < SNN_REACH)
        voice->faded++;
    if (voice->faded < SNN_REACH) { /* the windows of its frames reach so far back */
        voice->quiet = 0;
        if (voice->asleep) { /* its steps were left out as long as it could be silence */
            voice->asleep = 0;
            for (unsigned end = SNN_STEP_SAMPLES; end <= SNN_HOP_SAMPLES; end += SNN_STEP_SAMPLES) step(voice, end);
        }
    } else if (voice->quiet < SNN_ASLEEP && ++voice->quiet == SNN_ASLEEP) {
        voice->asleep = 1;
        snn_network_rest(voice);
    }
    for (unsigned i = 0; i < SNN_HISTORY; i++) voice->audio[i] = voice->audio[SNN_HOP_SAMPLES + i];
    voice->filled = 0;
}

void snn_voice_reset(SnnVoice *voice) {
    memset(voice, 0, sizeof *voice);
    voice->faded = SNN_REACH;
    snn_detector_reset(voice);
}

size_t snn_voice_feed(SnnVoice *voice, const int16_t *samples, size_t count, SnnEvent *event) {
    event->label = -1;
    for (size_t taken = 0; taken < count;) {
        unsigned wanted = SNN_STEP_SAMPLES - voice->filled % SNN_STEP_SAMPLES;
        if (wanted > count - taken) wanted = (unsigned)(count - taken);
        memcpy(voice->audio + SNN_HISTORY + voice->filled, samples + taken, wanted * sizeof *samples);
        voice->filled = (uint16_t)(voice->filled + wanted);
        taken += wanted;
        if (voice->filled % SNN_STEP_SAMPLES) break;
        if (!voice->asleep) step(voice, voice->filled);
        if (voice->filled == SNN_HOP_SAMPLES) {
            end_hop(voice);
            if (snn_detector_hop(voice, event)) return taken;
        }
    }
    return count;
}

int16_t snn_voice_scores(SnnVoice *voice, uint16_t scores[SNN_CLASSES]) {
    uint32_t powers[SNN_CLASSES], sum = 0;
    unsigned best = 0;
    snn_powers(voice, powers);
    for (unsigned i = 0; i < SNN_CLASSES; i++) sum += powers[i];
    for (unsigned i = 0; i < SNN_CLASSES; i++) {
        scores[i] = (uint16_t)(((uint64_t)powers[i] << 15) / sum);
        if (snn_network_logit(voice, i) > snn_network_logit(voice, best)) best = i;
    }
    return (int16_t)best;
}

int16_t snn_voice_clip(SnnVoice *voice, const int16_t *samples, size_t count, uint16_t scores[SNN_CLASSES]) {
    snn_voice_reset(voice);
    for (size_t begin = 0; begin + SNN_STEP_SAMPLES <= SNN_CLIP_SAMPLES; begin += SNN_STEP_SAMPLES) {
        size_t there = begin < count ? count - begin : 0;
        if (there > SNN_STEP_SAMPLES) there = SNN_STEP_SAMPLES;
        int16_t *into = voice->audio + SNN_HISTORY;
        memset(into, 0, SNN_STEP_SAMPLES * sizeof *into);
        if (there) memcpy(into, samples + begin, there * sizeof *into);
        step(voice, SNN_STEP_SAMPLES);
        for (unsigned i = 0; i < SNN_HISTORY; i++) voice->audio[i] = voice->audio[SNN_STEP_SAMPLES + i];
    }
    return snn_voice_scores(voice, scores);
}
