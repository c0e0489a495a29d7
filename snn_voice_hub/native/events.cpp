// Event-driven spiking layers for one clip at a time: convolution, leaky integrate-and-fire, pooling, all
// time steps, in one pass over the positions.
//
// Spikes are lists: for each step and position the indices of the channels that fired. A convolution adds
// the weight rows of those channels and nothing else; currents and membranes of a position stay in
// registers. Tensors are channels-last, channels padded to whole vectors of 16 floats.
//
// Compiled without contraction of a * b + c: the membrane is rounded as PyTorch's three operations round it.

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int kLanes = 16;
constexpr int kMaxBlock = 8;   // vectors of 16 channels that are computed together
constexpr int kMaxWindow = 16;  // positions that are pooled together

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float)), aligned(64)));
typedef float Vec4 __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef int32_t Mask __attribute__((vector_size(kLanes * sizeof(int32_t))));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec4*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec4*>(p) = v; }

// Bit j is lane j of `mem > threshold`.
inline uint32_t above(Vec mem, Vec threshold) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)mem, (__m512)threshold, _CMP_GT_OQ);
#elif defined(__AVX2__)
  const __m256* m = reinterpret_cast<const __m256*>(&mem);
  const __m256* t = reinterpret_cast<const __m256*>(&threshold);
  return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(m[0], t[0], _CMP_GT_OQ))) |
         uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(m[1], t[1], _CMP_GT_OQ))) << 8;
#else
  const Mask bits = mem > threshold;
  uint32_t out = 0;
  for (int i = 0; i < kLanes; ++i) out |= uint32_t(bits[i] & 1) << i;
  return out;
#endif
}

inline Vec choose(Mask mask, Vec yes) { return (Vec)(mask & (Mask)yes); }

}  // namespace

extern "C" {

// Mirrored field by field in layers.py. Places are byte offsets into the workspace; -1 means none.
struct Layer {
  // What comes in: spikes of another layer, to be convolved; or a current that is there already.
  int64_t in_index, in_count, in_h, in_w, in_c;
  int64_t current, current_steps;
  // Convolution: weight [blocks][kernel_h * kernel_w][in_c][block channels], bias [channels].
  const float* weight;
  const float* bias;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
  int64_t out_h, out_w, channels;  // of the current; channels padded to 16
  // Added to the current; then the current may be kept.
  int64_t residual, residual_steps;
  int64_t kept;
  // Neurons; then pooling of their spikes, or before it of their current.
  int64_t fires;
  float beta, threshold;
  int64_t decays_reset;
  int64_t pool_h, pool_w, pool_current;
  int64_t out_index, out_count;  // lists of spikes [steps, positions, channels] and their lengths
  int64_t sums;                  // spikes summed over the positions, float [steps, channels]
};

}  // extern "C"

namespace {

struct Clip {
  const Layer* layer;
  char* memory;
  const float* input;  // stands for place 0 of currents and residuals
  float* output;       // stands for place 0 of sums
  int64_t steps;
};

inline const float* place(const Clip& clip, int64_t offset) {
  return offset == 0 ? clip.input : reinterpret_cast<const float*>(clip.memory + offset);
}

// The current of one position at one step, for one block of channels.
template <int B>
inline void current_of(const Clip& clip, int64_t t, int64_t y, int64_t x, int64_t first, Vec* acc) {
  const Layer& l = *clip.layer;
  const int64_t positions = l.out_h * l.out_w, at = y * l.out_w + x;
  if (l.in_index < 0) {
    const int64_t step = l.current_steps > 1 ? t : 0;
    const float* row = place(clip, l.current) + (step * positions + at) * l.channels + first;
    for (int j = 0; j < B; ++j) acc[j] = load(row + j * kLanes);
  } else {
    Vec sum[B];  // a local array, so that it lives in registers
    for (int j = 0; j < B; ++j) sum[j] = load(l.bias + first + j * kLanes);
    const float* weight = l.weight + first * l.kernel_h * l.kernel_w * l.in_c;
    const int64_t in_positions = l.in_h * l.in_w;
    const uint16_t* index = reinterpret_cast<const uint16_t*>(clip.memory + l.in_index) + t * in_positions * l.in_c;
    const uint16_t* count = reinterpret_cast<const uint16_t*>(clip.memory + l.in_count) + t * in_positions;
    const int64_t tap = l.in_c * B * kLanes;
    for (int64_t ky = 0; ky < l.kernel_h; ++ky) {
      const int64_t iy = y * l.stride_h + ky - l.pad_h;
      if (iy < 0 || iy >= l.in_h) continue;
      for (int64_t kx = 0; kx < l.kernel_w; ++kx) {
        const int64_t ix = x * l.stride_w + kx - l.pad_w;
        if (ix < 0 || ix >= l.in_w) continue;
        const int64_t from = iy * l.in_w + ix;
        const uint16_t* fired = index + from * l.in_c;
        const uint16_t* end = fired + count[from];
        const float* rows = weight + (ky * l.kernel_w + kx) * tap;
        for (; fired < end; ++fired) {
          const float* row = rows + int64_t(*fired) * (B * kLanes);
          for (int j = 0; j < B; ++j) sum[j] += load(row + j * kLanes);
        }
      }
    }
    for (int j = 0; j < B; ++j) acc[j] = sum[j];
  }
  if (l.residual >= 0) {
    const int64_t step = l.residual_steps > 1 ? t : 0;
    const float* row = place(clip, l.residual) + (step * positions + at) * l.channels + first;
    for (int j = 0; j < B; ++j) acc[j] = load(row + j * kLanes) + acc[j];
  }
  if (l.kept >= 0) {
    float* row = reinterpret_cast<float*>(clip.memory + l.kept) + (t * positions + at) * l.channels + first;
    for (int j = 0; j < B; ++j) store(row + j * kLanes, acc[j]);
  }
}

// One step of a block's neurons; the spikes are or-ed into `spikes`.
template <int B>
inline void fire(const Layer& l, bool rests, Vec* mem, const Vec* current, uint32_t* spikes) {
  const Vec beta = Vec{} + l.beta, threshold = Vec{} + l.threshold;
  for (int j = 0; j < B; ++j) {
    if (rests) {
      mem[j] = current[j];
    } else {
      const Vec drop = choose(mem[j] > threshold, threshold);
      mem[j] = l.decays_reset ? beta * (mem[j] - drop) + current[j] : beta * mem[j] + current[j] - drop;
    }
    spikes[j] |= above(mem[j], threshold);
  }
}

template <int B>
void block(const Clip& clip, int64_t first) {
  const Layer& l = *clip.layer;
  const int64_t pooled_h = l.out_h / l.pool_h, pooled_w = l.out_w / l.pool_w;
  const int64_t window = l.pool_h * l.pool_w, positions = pooled_h * pooled_w;
  uint16_t* index = reinterpret_cast<uint16_t*>(clip.memory + l.out_index);
  uint16_t* count = reinterpret_cast<uint16_t*>(clip.memory + l.out_count);
  float* sums = l.sums == 0 ? clip.output : reinterpret_cast<float*>(clip.memory + l.sums);
  Vec mem[kMaxWindow * B];
  for (int64_t py = 0; py < pooled_h; ++py) {
    for (int64_t px = 0; px < pooled_w; ++px) {
      for (int64_t t = 0; t < clip.steps; ++t) {
        uint32_t spikes[B] = {};
        Vec highest[B] = {};
        for (int64_t w = 0; w < window; ++w) {
          Vec current[B];
          current_of<B>(clip, t, py * l.pool_h + w / l.pool_w, px * l.pool_w + w % l.pool_w, first, current);
          if (!l.fires) continue;
          if (!l.pool_current) {
            fire<B>(l, t == 0, mem + w * B, current, spikes);
          } else {
            for (int j = 0; j < B; ++j) {
              // What is no number stays, as in PyTorch.
              const Mask higher = (current[j] > highest[j]) | (current[j] != current[j]);
              highest[j] = w == 0 ? current[j] : higher ? current[j] : highest[j];
            }
          }
        }
        if (!l.fires) continue;
        if (l.pool_current) fire<B>(l, t == 0, mem, highest, spikes);
        const int64_t at = t * positions + py * pooled_w + px;
        if (l.out_index >= 0) {
          uint16_t* list = index + at * l.channels;
          int64_t n = count[at];
          for (int j = 0; j < B; ++j)
            for (uint32_t bits = spikes[j]; bits; bits &= bits - 1)
              list[n++] = uint16_t(first + j * kLanes + __builtin_ctz(bits));
          count[at] = uint16_t(n);
        }
        if (l.sums >= 0) {
          float* row = sums + t * l.channels + first;
          for (int j = 0; j < B; ++j)
            for (uint32_t bits = spikes[j]; bits; bits &= bits - 1)
              row[j * kLanes + __builtin_ctz(bits)] += 1.0f;
        }
      }
    }
  }
}

void layer(const Clip& clip) {
  const Layer& l = *clip.layer;
  const int64_t positions = (l.out_h / l.pool_h) * (l.out_w / l.pool_w);
  if (l.out_index >= 0) std::memset(clip.memory + l.out_count, 0, clip.steps * positions * sizeof(uint16_t));
  if (l.sums >= 0) {
    float* sums = l.sums == 0 ? clip.output : reinterpret_cast<float*>(clip.memory + l.sums);
    std::memset(sums, 0, clip.steps * l.channels * sizeof(float));
  }
  for (int64_t first = 0; first < l.channels; first += kMaxBlock * kLanes) {
    const int64_t left = (l.channels - first) / kLanes;
    switch (left < kMaxBlock ? left : kMaxBlock) {
      case 1: block<1>(clip, first); break;
      case 2: block<2>(clip, first); break;
      case 3: block<3>(clip, first); break;
      case 4: block<4>(clip, first); break;
      case 5: block<5>(clip, first); break;
      case 6: block<6>(clip, first); break;
      case 7: block<7>(clip, first); break;
      default: block<8>(clip, first);
    }
  }
}

}  // namespace

extern "C" {

// Raised whenever the meaning of what is passed to a kernel changes.
int64_t snn_abi() { return 3; }

// All layers of `clips` clips, one after the other.
//   input   [clips][input_steps, positions, channels]: the current that place 0 stands for
//   output  [clips][steps, channels]: the sums that place 0 stands for
//   memory  workspace of one clip, aligned to 64 bytes
void snn_run(const Layer* layers, int64_t count, int64_t steps, const float* input, int64_t input_stride,
             float* output, int64_t output_stride, int64_t clips, char* memory) {
  for (int64_t b = 0; b < clips; ++b)
    for (int64_t i = 0; i < count; ++i)
      layer(Clip{layers + i, memory, input + b * input_stride, output + b * output_stride, steps});
}

}  // extern "C"
