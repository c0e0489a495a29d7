/* The network, step by step. A spike adds its row of weights to the sums; where there is none, nothing is done. */

#include <string.h>

#include "parts.h"

static const uint32_t *row_of(const SnnVoice *voice, unsigned layer, unsigned lag) {
    const SnnLayer *of = &snn_layers[layer];
    unsigned at = voice->newest[layer];
    at = at >= lag ? at - lag : at + of->depth - lag;
    return voice->spikes + of->spikes + at * SNN_WORDS_OF(of->channels);
}

/* Add to `sum` [count] the rows of those who spiked. */
static void add_rows(int32_t *sum, const void *weights, unsigned bits, const uint32_t *spikes, unsigned words,
                     unsigned count) {
    for (unsigned word = 0; word < words; word++) {
        for (uint32_t left = spikes[word]; left; left &= left - 1) {
            size_t begin = (size_t)(32u * word + snn_lowest_bit(left)) * count;
            if (bits == 8) {
                const int8_t *row = (const int8_t *)weights + begin;
                for (unsigned c = 0; c < count; c++) sum[c] += row[c];
            } else {
                const int16_t *row = (const int16_t *)weights + begin;
                for (unsigned c = 0; c < count; c++) sum[c] += row[c];
            }
        }
    }
}

/* The sum of products of one output. */
static snn_feature_sum product(const int16_t *x, const void *weights, unsigned bits, size_t begin, unsigned count) {
    snn_feature_sum sum = 0;
    if (bits == 8) {
        const int8_t *row = (const int8_t *)weights + begin;
        for (unsigned i = 0; i < count; i++) sum += (snn_feature_sum)x[i] * row[i];
    } else {
        const int16_t *row = (const int16_t *)weights + begin;
        for (unsigned i = 0; i < count; i++) sum += (snn_feature_sum)x[i] * row[i];
    }
    return sum;
}

static void hear(SnnVoice *voice, const SnnProjection *of, unsigned channels, int32_t *current) {
    if (of->source == SNN_FEATURES) {
        unsigned count = of->kernel * (unsigned)SNN_BANDS;
        const int16_t *x = voice->frames[SNN_FRAMES - of->kernel];
        for (unsigned c = 0; c < channels; c++) {
            snn_feature_sum sum = product(x, of->weights, of->bits, (size_t)c * count, count);
            current[c] = snn_limited(current[c] + snn_scaled(sum, of->multipliers[c], of->shift));
        }
        return;
    }
    unsigned source = (unsigned)of->source, ins = snn_layers[source].channels;
    memset(voice->sum, 0, channels * sizeof *voice->sum);
    for (unsigned tap = 0; tap < of->kernel; tap++)
        add_rows(voice->sum, (const uint8_t *)of->weights + (size_t)tap * ins * channels * (of->bits / 8u), of->bits,
                 row_of(voice, source, (of->kernel - 1u - tap) * of->dilation), SNN_WORDS_OF(ins), channels);
    for (unsigned c = 0; c < channels; c++)
        current[c] = snn_limited(current[c] + snn_scaled(voice->sum[c], of->multipliers[c], of->shift));
}

static void fire(SnnVoice *voice, unsigned number, const int32_t *current) {
    const SnnLayer *layer = &snn_layers[number];
    unsigned words = SNN_WORDS_OF(layer->channels), at = voice->newest[number];
    at = at + 1u == layer->depth ? 0 : at + 1u;
    voice->newest[number] = (uint16_t)at;
    uint32_t *spikes = voice->spikes + layer->spikes + at * words;
    int32_t *membranes = voice->membranes + layer->neurons;
    memset(spikes, 0, words * sizeof *spikes);
    for (unsigned c = 0; c < layer->channels; c++) {
        int64_t membrane = membranes[c];
        int32_t drop = membrane > layer->threshold ? layer->threshold : 0;
        if (layer->resets_before) membrane -= drop;
        if (layer->decay_shift)
            membrane -= membrane >> layer->decay_shift;
        else
            membrane = (membrane * layer->decays[layer->own_decays ? c : 0] + 0x8000) >> 16;
        if (!layer->resets_before) membrane -= drop;
        membranes[c] = snn_limited(membrane + current[c]);
        if (membranes[c] > layer->threshold) spikes[c / 32u] |= (uint32_t)1 << (c % 32u);
    }
}

void snn_network_rest(SnnVoice *voice) {
    memset(voice->membranes, 0, sizeof voice->membranes);
    memset(voice->spikes, 0, sizeof voice->spikes);
    memset(voice->newest, 0, sizeof voice->newest);
    memset(voice->sums, 0, sizeof voice->sums);
    memset(voice->frames, 0, sizeof voice->frames);
    voice->heard = 0;
}

void snn_network_step(SnnVoice *voice) {
    for (unsigned number = 0; number < SNN_LAYERS; number++) {
        const SnnLayer *layer = &snn_layers[number];
        int32_t *current = voice->currents[layer->current];
        for (unsigned c = 0; c < layer->channels; c++) {
            int64_t residual = layer->residual < 0 ? 0 : voice->currents[layer->residual][c];
            current[c] = snn_limited(residual + layer->bias[c]);
        }
        for (unsigned i = 0; i < layer->projection_count; i++)
            hear(voice, &layer->projections[i], layer->channels, current);
        fire(voice, number, current);
    }
    /* An answer looks back at SNN_STEPS steps: what is older leaves the sums. */
    unsigned last = SNN_LAYERS - 1, words = SNN_WORDS_OF(snn_layers[last].channels);
    for (unsigned label = 0; label < SNN_CLASSES; label++) voice->sums[label] = -voice->sums[label];
    add_rows(voice->sums, snn_head_weights, SNN_HEAD_BITS, row_of(voice, last, SNN_STEPS), words, SNN_CLASSES);
    for (unsigned label = 0; label < SNN_CLASSES; label++) voice->sums[label] = -voice->sums[label];
    add_rows(voice->sums, snn_head_weights, SNN_HEAD_BITS, row_of(voice, last, 0), words, SNN_CLASSES);
    if (voice->heard < SNN_STEPS) voice->heard++;
}

int32_t snn_network_logit(const SnnVoice *voice, unsigned label) {
    int64_t bias = ((int64_t)snn_head_bias[label] * voice->heard) >> 8;
    return snn_limited(bias + snn_scaled(voice->sums[label], snn_head_multipliers[label], SNN_HEAD_SHIFT));
}
