/* Logits -> scores -> words. A word counts by its lowest share over the newest hops, held against no word. */

#include <string.h>

#include "parts.h"

/* 2^(-x), x in units of 2^-16 and not negative; the result too. */
static uint32_t power_below(uint64_t x) {
    uint32_t whole = x >> 16 > 31 ? 31 : (uint32_t)(x >> 16), part = (uint32_t)x & 0xffffu;
    uint32_t place = part >> (16 - SNN_EXP_BITS), rest = part & (0xffffu >> SNN_EXP_BITS);
    uint32_t high = snn_powers_of_2[place], step = high - snn_powers_of_2[place + 1];
    return (high - ((step * rest) >> (16 - SNN_EXP_BITS))) >> whole;
}

void snn_powers(const SnnVoice *voice, uint32_t powers[SNN_CLASSES]) {
    int32_t logits[SNN_CLASSES], most = INT32_MIN;
    for (unsigned i = 0; i < SNN_CLASSES; i++) {
        logits[i] = snn_network_logit(voice, i);
        if (logits[i] > most) most = logits[i];
    }
    for (unsigned i = 0; i < SNN_CLASSES; i++) {
        uint64_t below = (uint64_t)((int64_t)most - logits[i]);
        powers[i] = power_below((below * SNN_SHARPNESS) >> SNN_SHARPNESS_SHIFT);
    }
}

void snn_detector_reset(SnnVoice *voice) {
    memset(voice->shares, 0, sizeof voice->shares);
    voice->together = 0;
    voice->hops = 0;
    voice->since = SNN_APART;
}

static uint32_t milliseconds(uint64_t samples) { return (uint32_t)(samples * 1000u / SNN_RATE); }

int snn_detector_hop(SnnVoice *voice, SnnEvent *event) {
    uint16_t *shares = voice->shares[voice->together];
    voice->together = (uint16_t)(voice->together + 1u == SNN_TOGETHER ? 0 : voice->together + 1u);
    voice->hops++;
    if (voice->since < SNN_APART) voice->since++;
    if (voice->asleep) {
        memset(shares, 0, sizeof voice->shares[0]);
    } else {
        uint32_t powers[SNN_CLASSES], against = 0;
        snn_powers(voice, powers);
        for (unsigned i = 0, word = 0; i < SNN_CLASSES; i++) {
            int is_word = word < SNN_WORDS && snn_words[word] == i;
            if (is_word) word++;
            if (!is_word || !SNN_KNOWS_OTHERS) against += powers[i];
        }
        for (unsigned word = 0; word < SNN_WORDS; word++) {
            uint32_t own = powers[snn_words[word]], all = against + (SNN_KNOWS_OTHERS ? own : 0);
            shares[word] = (uint16_t)(all ? (own << 15) / all : 0);
        }
    }
    unsigned best = 0, top = 0;
    for (unsigned word = 0; word < SNN_WORDS; word++) {
        unsigned held = SNN_ONE;
        for (unsigned i = 0; i < SNN_TOGETHER; i++)
            if (voice->shares[i][word] < held) held = voice->shares[i][word];
        if (held > top) {
            best = word;
            top = held;
        }
    }
    if (!top || top < snn_thresholds[best] || voice->since < SNN_APART) return 0;
    voice->since = 0;
    uint64_t time = (uint64_t)voice->hops * SNN_HOP_SAMPLES;
    uint64_t late = (uint64_t)(SNN_TOGETHER - 1) * SNN_HOP_SAMPLES;
    uint64_t end = time + SNN_EARLY_SAMPLES > late ? time + SNN_EARLY_SAMPLES - late : 0;
    if (end > time) end = time;
    uint64_t start = time + SNN_EARLY_SAMPLES > SNN_CLIP_SAMPLES ? time + SNN_EARLY_SAMPLES - SNN_CLIP_SAMPLES : 0;
    event->label = (int16_t)snn_words[best];
    event->score = (uint16_t)top;
    event->time = milliseconds(time);
    event->end = milliseconds(end);
    event->start = milliseconds(start < end ? start : end);
    return 1;
}
