/* What a network is made of; the tables of model.c are of these types. */

#ifndef SNN_LAYERS_H
#define SNN_LAYERS_H

#include <stdint.h>

#define SNN_FEATURES (-1)

/* A convolution over what was heard before, whose result is added to the current of its layer.
   A value of the result stands for sum * multiplier / 2^shift, in units of 2^-16. */
typedef struct {
    const void *weights;        /* of features [out][kernel * bands]; of spikes [kernel][in][out] */
    const int32_t *multipliers; /* [out] */
    int16_t source;             /* the layer whose spikes it hears, or SNN_FEATURES */
    uint8_t kernel;             /* taps, the oldest one first */
    uint8_t dilation;           /* steps between two taps */
    uint8_t shift;
    uint8_t bits;               /* of a weight: 8, an int8_t, or 16, an int16_t */
} SnnProjection;

/* A layer of leaky integrate-and-fire neurons. Currents, membranes and thresholds are in units of 2^-16. */
typedef struct {
    const SnnProjection *projections;
    const int32_t *bias;    /* [channels] */
    const uint32_t *decays; /* in units of 2^-16: one, or one for each channel */
    int32_t threshold;
    uint32_t neurons;      /* where its membranes are */
    uint32_t spikes;       /* where its newest spikes are, in words */
    uint16_t channels;
    uint16_t depth;        /* steps for which its spikes are kept */
    int16_t residual;      /* buffer whose current is added, or -1 */
    uint8_t current;       /* buffer where its own goes */
    uint8_t projection_count;
    uint8_t own_decays;    /* whether each channel has one */
    uint8_t decay_shift;   /* the decay is 1 - 2^-shift; 0: it is not */
    uint8_t resets_before; /* whether a spike is subtracted before the decay */
} SnnLayer;

#define SNN_WORDS_OF(channels) (((channels) + 31u) / 32u)

#endif
