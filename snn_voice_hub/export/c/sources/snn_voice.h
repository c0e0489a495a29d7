/* Words in a stream of sound, by a spiking network, in integers.

   Nothing here allocates memory, and nothing keeps any outside the SnnVoice of the caller. Right shifts of
   negative numbers are taken to be arithmetic, as every usual compiler has them, and an int to have 32 bits. */

#ifndef SNN_VOICE_H
#define SNN_VOICE_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"

/* Scores and shares are in units of 2^-15. */
#define SNN_ONE 32768u

/* A word that was said; times are in milliseconds since the stream began. */
typedef struct {
    int16_t label;  /* its number in snn_labels; -1: there was none */
    uint16_t score; /* its lowest share over the time for which it has to hold */
    uint32_t start; /* where about it begins */
    uint32_t end;   /* where about it ends */
    uint32_t time;  /* when it was known */
} SnnEvent;

/* All that is remembered of a stream. */
typedef struct {
    /* the network */
    int32_t membranes[SNN_NEURONS];
    uint32_t spikes[SNN_SPIKE_WORDS];
    uint16_t newest[SNN_LAYERS]; /* row of the newest spikes */
    int32_t sums[SNN_CLASSES];   /* of the rows of the head, over the newest steps */
    int32_t currents[SNN_CURRENTS][SNN_CHANNELS];
    int32_t sum[SNN_CHANNELS];
    int16_t frames[SNN_FRAMES][SNN_BANDS];
    uint16_t heard; /* steps since rest that the sums are made of */
    /* the front end */
    int16_t audio[SNN_HISTORY + SNN_HOP_SAMPLES];
    int32_t spectrum[SNN_FFT];
    uint16_t filled; /* samples of this hop */
    uint8_t begun;   /* whether the stream has had a step */
    /* silence */
    uint8_t asleep;
    uint16_t quiet; /* hops in a row */
    uint16_t faded; /* hops since one was louder than the gate, SNN_REACH at most */
    /* the detector */
    uint16_t shares[SNN_TOGETHER][SNN_WORDS];
    uint16_t together; /* where in these the next ones go */
    uint32_t hops;
    uint32_t since; /* hops since the last event, SNN_APART at most */
} SnnVoice;

/* Begin a stream. */
void snn_voice_reset(SnnVoice *voice);

/* Take the next samples, SNN_RATE a second, up to the first event in them.

   Returns how many were taken: all, or those up to the event; go on with the others. */
size_t snn_voice_feed(SnnVoice *voice, const int16_t *samples, size_t count, SnnEvent *event);

/* The scores of all labels now, and the number of the best one. */
int16_t snn_voice_scores(SnnVoice *voice, uint16_t scores[SNN_CLASSES]);

/* The same of one clip of SNN_CLIP_SAMPLES; of a shorter one, zeros follow. Whatever was heard is forgotten. */
int16_t snn_voice_clip(SnnVoice *voice, const int16_t *samples, size_t count, uint16_t scores[SNN_CLASSES]);

#endif
