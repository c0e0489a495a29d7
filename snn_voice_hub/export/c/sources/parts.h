/* What the files of the library say to each other. */

#ifndef SNN_PARTS_H
#define SNN_PARTS_H

#include "snn_voice.h"

/* front_end.c: the log-mel of the window that begins at `samples`. */
void snn_log_mel(const int16_t *samples, int32_t spectrum[SNN_FFT], int16_t bands[SNN_BANDS]);

/* network.c */
void snn_network_rest(SnnVoice *voice);
/* One step, on the newest of the frames. */
void snn_network_step(SnnVoice *voice);
/* What the newest steps say, in units of 2^-16. */
int32_t snn_network_logit(const SnnVoice *voice, unsigned label);

/* detector.c: powers of the logits, the largest 2^16. */
void snn_powers(const SnnVoice *voice, uint32_t powers[SNN_CLASSES]);
void snn_detector_reset(SnnVoice *voice);
/* The hop that ends now; whether it makes an event. */
int snn_detector_hop(SnnVoice *voice, SnnEvent *event);

static inline unsigned snn_lowest_bit(uint32_t word) {
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzl(word);
#else
    unsigned bit = 0;
    for (; !(word & 1u); word >>= 1) bit++;
    return bit;
#endif
}

static inline unsigned snn_highest_bit(uint32_t word) {
#if defined(__GNUC__)
    return (unsigned)(8 * sizeof(unsigned long) - 1) - (unsigned)__builtin_clzl(word);
#else
    unsigned bit = 0;
    while (word >>= 1) bit++;
    return bit;
#endif
}

static inline int32_t snn_limited(int64_t value) {
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

/* value * multiplier / 2^shift, rounded; shift is at least 1. */
static inline int64_t snn_scaled(int64_t value, int32_t multiplier, unsigned shift) {
    return (value * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
}

#endif
