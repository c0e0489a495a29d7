/* Sound -> log-mel, in fixed point. */

#include "parts.h"

#define HALF (SNN_FFT / 2)

static int32_t times(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* sin(2 pi k / SNN_FFT), k up to SNN_FFT / 2, of which the table holds the first quarter. */
static int32_t sine(unsigned k) { return snn_sines[k <= SNN_FFT / 4 ? k : HALF - k]; }

static int32_t cosine(unsigned k) {
    return k <= SNN_FFT / 4 ? snn_sines[SNN_FFT / 4 - k] : -snn_sines[k - SNN_FFT / 4];
}

/* Fourier transform of SNN_FFT / 2 complex numbers, real and imaginary parts in turn. The window is scaled
   so that nothing overflows. */
static void transform(int32_t *z) {
    for (unsigned i = 1, j = 0; i < HALF; i++) {
        unsigned bit = HALF >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j |= bit;
        if (i < j) {
            int32_t re = z[2 * i], im = z[2 * i + 1];
            z[2 * i] = z[2 * j];
            z[2 * i + 1] = z[2 * j + 1];
            z[2 * j] = re;
            z[2 * j + 1] = im;
        }
    }
    for (unsigned span = 1; span < HALF; span <<= 1) {
        for (unsigned k = 0; k < span; k++) {
            int32_t c = cosine(k * (HALF / span)), s = sine(k * (HALF / span));
            for (unsigned a = k; a < HALF; a += 2 * span) {
                unsigned b = a + span;
                int32_t re = z[2 * b], im = z[2 * b + 1];
                if (k) {
                    int32_t turned = times(re, c) + times(im, s);
                    im = times(im, c) - times(re, s);
                    re = turned;
                }
                z[2 * b] = z[2 * a] - re;
                z[2 * b + 1] = z[2 * a + 1] - im;
                z[2 * a] += re;
                z[2 * a + 1] += im;
            }
        }
    }
}

/* Twice the number of bin k of the real transform, squared. */
static uint64_t power_of(const int32_t *z, unsigned k) {
    const int32_t *a = z + 2 * (k % HALF), *b = z + 2 * ((HALF - k) % HALF);
    int32_t even_re = a[0] + b[0], even_im = a[1] - b[1];
    int32_t odd_re = a[1] + b[1], odd_im = b[0] - a[0];
    int32_t c = cosine(k), s = sine(k);
    int64_t re = (int64_t)even_re + times(odd_re, c) + times(odd_im, s);
    int64_t im = (int64_t)even_im + times(odd_im, c) - times(odd_re, s);
    return (uint64_t)(re * re) + (uint64_t)(im * im);
}

/* Logarithm to the base 2 of what is not 0, in units of 2^-16. */
static int32_t log2_of(uint64_t value) {
    uint32_t high = (uint32_t)(value >> 32);
    unsigned whole = high ? 32 + snn_highest_bit(high) : snn_highest_bit((uint32_t)value);
    uint32_t part = (uint32_t)((value << (63 - whole)) >> 32) & 0x7fffffffu; /* behind the highest bit */
    uint32_t place = part >> (31 - SNN_LOG_BITS);
    uint32_t rest = (part >> (15 - SNN_LOG_BITS)) & 0xffffu;
    uint32_t low = snn_logs[place], step = snn_logs[place + 1] - low;
    return (int32_t)((whole << 16) + low + ((step * rest + 0x8000u) >> 16));
}

void snn_log_mel(const int16_t *samples, int32_t spectrum[SNN_FFT], int16_t bands[SNN_BANDS]) {
    for (unsigned i = 0; i < SNN_FFT; i++)
        spectrum[i] =
            i < SNN_WINDOW
                ? (samples[i] * snn_window[i] + (1 << (SNN_WINDOW_SHIFT - 1))) >> SNN_WINDOW_SHIFT
                : 0;
    transform(spectrum);
    const uint16_t *weight = snn_mel_weights;
    for (unsigned band = 0; band < SNN_BANDS; band++) {
        uint64_t sum = SNN_LOG_OFFSET;
        unsigned end = snn_mel_begins[band] + snn_mel_sizes[band];
        for (unsigned k = snn_mel_begins[band]; k < end; k++)
            sum += (power_of(spectrum, k) >> SNN_POWER_SHIFT) * *weight++;
        int64_t value = (int64_t)log2_of(sum | 1u) * SNN_LOG_FACTOR + SNN_LOG_ADDED;
        value = (value + ((int64_t)1 << (SNN_LOG_SHIFT - 1))) >> SNN_LOG_SHIFT;
        bands[band] = (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
    }
}
