// A layer of leaky integrate-and-fire neurons over all time steps with max pooling of its spikes, forwards and
// backwards. One row (a clip's channel) at a time, so that its membranes stay in the cache; nothing but the
// current is kept for the way back, where the membranes are computed again.
//
// Tensors are [steps][rows][height * width]; the current may have one step that stands for all. Or they are
// channels-last, [steps][clips][height * width][channels]: then a row is a clip's sixteen channels, which are
// brought together first.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <vector>

#include "parts.h"

extern "C" {

// Mirrored field by field in lif.py.
struct Neurons {
  int64_t steps, current_steps, rows, height, width, pool_h, pool_w;
  int64_t channels;  // of channels-last tensors, a multiple of 16; else 0
  float beta, threshold;
  int64_t decays_reset;
  int64_t surrogate;  // 0 arctan, 1 fast sigmoid, 2 heaviside, 3 straight through
  float slope;
  int64_t threads;
};

}  // extern "C"

namespace {

constexpr int kLanes = 16;

struct Shape {
  int64_t out_h, out_w, lanes;
  int64_t values, out;  // of a row
  explicit Shape(const Neurons& n)
      : out_h(n.height / n.pool_h), out_w(n.width / n.pool_w), lanes(n.channels ? kLanes : 1) {
    values = n.height * n.width * lanes;
    out = out_h * out_w * lanes;
  }
};

// Where a row of a tensor with `count` positions begins at step t, and how far its positions lie apart.
struct Place {
  int64_t start, stride;
};

inline Place place(const Neurons& n, int64_t t, int64_t row, int64_t positions) {
  if (!n.channels) return {(t * n.rows + row) * positions, 1};
  const int64_t blocks = n.channels / kLanes, clips = n.rows / blocks;
  return {((t * clips + row / blocks) * positions) * n.channels + row % blocks * kLanes, n.channels};
}

// A row of a tensor: as it lies there, or brought together in `buffer`.
inline const float* gather(const Neurons& n, const float* tensor, int64_t t, int64_t row, int64_t positions,
                           float* buffer) {
  const Place at = place(n, t, row, positions);
  if (!n.channels) return tensor + at.start;
  for (int64_t i = 0; i < positions; ++i)
    std::memcpy(buffer + i * kLanes, tensor + at.start + i * at.stride, kLanes * sizeof(float));
  return buffer;
}

inline void add(int64_t count, const float* __restrict from, float* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

inline void scatter(const Neurons& n, const float* row_values, float* tensor, int64_t t, int64_t row,
                    int64_t positions, bool adds) {
  const Place at = place(n, t, row, positions);
  float* to = tensor + at.start;
  if (!n.channels) {
    if (adds) add(positions, row_values, to);
    else std::memcpy(to, row_values, positions * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < positions; ++i, to += at.stride, row_values += kLanes) {
    if (adds) add(kLanes, row_values, to);
    else std::memcpy(to, row_values, kLanes * sizeof(float));
  }
}

// The three operations of the step loop, in its order, without contraction: the same bits.
void step(const Neurons& n, bool rests, int64_t count, const float* __restrict before,
          const float* __restrict current, float* __restrict mem) {
  const float beta = n.beta, threshold = n.threshold;
  if (rests) {
    for (int64_t i = 0; i < count; ++i) mem[i] = current[i];
  } else if (n.decays_reset) {
    for (int64_t i = 0; i < count; ++i) {
      const float drop = before[i] > threshold ? threshold : 0.0f;
      mem[i] = (before[i] - drop) * beta + current[i];
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      const float drop = before[i] > threshold ? threshold : 0.0f;
      mem[i] = before[i] * beta + current[i] - drop;
    }
  }
}

// 1 where a membrane lies above the threshold; eight more bytes may be read behind the last.
void above(const Neurons& n, int64_t count, const float* __restrict mem, uint8_t* __restrict spikes) {
  const float threshold = n.threshold;
  for (int64_t i = 0; i < count; ++i) spikes[i] = mem[i] > threshold;
}

// The first position of a window that fired, or its first position: where PyTorch's max pooling sends the
// gradient. Windows of up to eight columns are looked at a row at a time, without branches.
inline int64_t winner(const Neurons& n, const uint8_t* spikes, int64_t y, int64_t x, bool* fired) {
  const int64_t corner = y * n.pool_h * n.width + x * n.pool_w;
  for (int64_t dy = 0; dy < n.pool_h; ++dy) {
    const int64_t row = corner + dy * n.width;
    int64_t dx = 0;
    if (n.pool_w <= 8) {
      uint64_t bytes;
      std::memcpy(&bytes, spikes + row, sizeof bytes);
      bytes &= ~uint64_t(0) >> (64 - 8 * n.pool_w);
      *fired = bytes != 0;
      dx = *fired ? __builtin_ctzll(bytes) / 8 : 0;
    } else {
      while (dx < n.pool_w && !spikes[row + dx]) ++dx;
      *fired = dx < n.pool_w;
    }
    if (*fired || n.pool_h == 1) return *fired ? row + dx : corner;
  }
  return corner;
}

// For sixteen channels at once: the index of each one's winner.
inline void winners(const Neurons& n, const uint8_t* spikes, int64_t y, int64_t x, int32_t* __restrict index) {
  const int64_t corner = y * n.pool_h * n.width + x * n.pool_w;
  for (int j = 0; j < kLanes; ++j) index[j] = int32_t(corner);
  for (int64_t w = n.pool_h * n.pool_w - 1; w >= 0; --w) {
    const int64_t at = corner + w / n.pool_w * n.width + w % n.pool_w;
    const uint8_t* here = spikes + at * kLanes;
    for (int j = 0; j < kLanes; ++j) index[j] = here[j] ? int32_t(at) : index[j];
  }
}

// For sixteen channels at once: whether any position of the window fired.
inline void any_fired(const Neurons& n, const uint8_t* spikes, int64_t y, int64_t x, uint8_t* __restrict fired) {
  const uint8_t* corner = spikes + (y * n.pool_h * n.width + x * n.pool_w) * kLanes;
  uint64_t any[kLanes / 8] = {}, here[kLanes / 8];
  for (int64_t dy = 0; dy < n.pool_h; ++dy)
    for (int64_t dx = 0; dx < n.pool_w; ++dx) {
      std::memcpy(here, corner + (dy * n.width + dx) * kLanes, kLanes);
      for (int k = 0; k < kLanes / 8; ++k) any[k] |= here[k];
    }
  std::memcpy(fired, any, kLanes);
}

struct Buffers {
  std::vector<float> mems, in, out, grads;
  std::vector<uint8_t> fired_at;
  Buffers(const Neurons& n, const Shape& s, bool backward)
      : mems((backward ? n.steps : 2) * s.values),
        in(n.channels ? s.values : 0),
        out(s.out),
        grads(backward ? 2 * s.values : 0),
        fired_at(s.values + 8) {}
};

void forward_row(const Neurons& n, const Shape& s, int64_t row, const float* current, const float* start,
                 float* out, Buffers& buffers) {
  const float threshold = n.threshold;
  const int64_t positions = n.height * n.width;
  float* mem = buffers.mems.data();
  uint8_t* fired_at = buffers.fired_at.data();
  float* spikes = buffers.out.data();
  const float* x = nullptr;
  for (int64_t t = 0; t < n.steps; ++t) {
    if (t == 0 || n.current_steps > 1) x = gather(n, current, t, row, positions, buffers.in.data());
    float* now = mem + t % 2 * s.values;
    float* before = mem + (t + 1) % 2 * s.values;
    if (t == 0 && start) {
      const float* first = gather(n, start, 0, row, positions, now);
      for (int64_t i = 0; i < s.values; ++i) before[i] = first[i];
    }
    step(n, t == 0 && !start, s.values, before, x, now);
    if (n.pool_h * n.pool_w == 1) {
      for (int64_t i = 0; i < s.values; ++i) spikes[i] = now[i] > threshold ? 1.0f : 0.0f;
    } else {
      above(n, s.values, now, fired_at);
      for (int64_t y = 0; y < s.out_h; ++y)
        for (int64_t x = 0; x < s.out_w; ++x) {
          float* to = spikes + (y * s.out_w + x) * s.lanes;
          if (n.channels) {
            uint8_t fired[kLanes];
            any_fired(n, fired_at, y, x, fired);
            for (int j = 0; j < kLanes; ++j) to[j] = fired[j];
          } else {
            bool fired;
            winner(n, fired_at, y, x, &fired);
            *to = fired;
          }
        }
    }
    scatter(n, spikes, out, t, row, s.out_h * s.out_w, false);
  }
}

// Gradient of the spikes -> gradient of the membranes, by the surrogate.
void through_spike(const Neurons& n, int64_t count, const float* __restrict mem, float* __restrict grad) {
  const float threshold = n.threshold, slope = n.slope;
  switch (n.surrogate) {
    case 0: {
      const float scale = 1.57079632679489661923f * slope;
      for (int64_t i = 0; i < count; ++i) {
        const float u = scale * (mem[i] - threshold);
        grad[i] *= slope / 2 / (1.0f + u * u);
      }
      break;
    }
    case 1:
      for (int64_t i = 0; i < count; ++i) {
        const float over = mem[i] - threshold;
        const float u = slope * (over < 0 ? -over : over) + 1.0f;
        grad[i] /= u * u;
      }
      break;
    case 2:
      for (int64_t i = 0; i < count; ++i) grad[i] = mem[i] > threshold ? grad[i] : 0.0f;
      break;
    default:
      break;
  }
}

struct Sums {
  double beta = 0, threshold = 0;
};

// The gradient of a row's spikes, before the pooling.
void through_pool(const Neurons& n, const Shape& s, const float* mem, const float* from, float* grad,
                  uint8_t* fired_at) {
  if (n.pool_h * n.pool_w == 1) {
    for (int64_t i = 0; i < s.values; ++i) grad[i] = from[i];
    return;
  }
  above(n, s.values, mem, fired_at);
  for (int64_t i = 0; i < s.values; ++i) grad[i] = 0.0f;
  for (int64_t y = 0; y < s.out_h; ++y)
    for (int64_t x = 0; x < s.out_w; ++x) {
      const float* pooled = from + (y * s.out_w + x) * s.lanes;
      if (n.channels) {
        int32_t index[kLanes];
        winners(n, fired_at, y, x, index);
        for (int j = 0; j < kLanes; ++j) grad[int64_t(index[j]) * kLanes + j] = pooled[j];
      } else {
        bool fired;
        grad[winner(n, fired_at, y, x, &fired)] = *pooled;
      }
    }
}

void backward_row(const Neurons& n, const Shape& s, int64_t row, const float* current, const float* start,
                  const float* grad_out, float* grad_current, float* grad_start, Sums* sums,
                  Buffers& buffers) {
  const int64_t count = s.values, positions = n.height * n.width;
  float* mems = buffers.mems.data();
  std::vector<float> first;
  const float* begin = nullptr;
  if (start) {
    first.resize(count);
    const float* there = gather(n, start, 0, row, positions, first.data());
    if (there != first.data()) std::memcpy(first.data(), there, count * sizeof(float));
    begin = first.data();
  }
  const float* x = nullptr;
  for (int64_t t = 0; t < n.steps; ++t) {
    if (t == 0 || n.current_steps > 1) x = gather(n, current, t, row, positions, buffers.in.data());
    const float* before = t ? mems + (t - 1) * count : begin;
    step(n, !before, count, before, x, mems + t * count);
  }
  float* later = buffers.grads.data();  // gradient of the membrane that follows
  float* grad = later + count;
  for (int64_t t = n.steps - 1; t >= 0; --t) {
    const float* mem = mems + t * count;
    const float* from = gather(n, grad_out, t, row, s.out_h * s.out_w, buffers.out.data());
    through_pool(n, s, mem, from, grad, buffers.fired_at.data());
    through_spike(n, count, mem, grad);
    if (sums) {
      double total = 0;
      for (int64_t i = 0; i < count; ++i) total += grad[i];
      sums->threshold -= total;
    }
    if (t + 1 < n.steps)
      for (int64_t i = 0; i < count; ++i) grad[i] += later[i] * n.beta;
    const float* before = t ? mems + (t - 1) * count : begin;
    if (sums && before) {
      double by_beta = 0, by_reset = 0;
      for (int64_t i = 0; i < count; ++i) {
        const bool spk = before[i] > n.threshold;
        by_beta += double(grad[i]) * (n.decays_reset && spk ? before[i] - n.threshold : before[i]);
        by_reset += spk ? grad[i] : 0.0f;
      }
      sums->beta += by_beta;
      sums->threshold -= n.decays_reset ? by_reset * n.beta : by_reset;
    }
    const bool one = n.current_steps == 1;
    scatter(n, grad, grad_current, one ? 0 : t, row, positions, one && t + 1 < n.steps);
    float* swap = later;
    later = grad;
    grad = swap;
  }
  if (grad_start) {
    for (int64_t i = 0; i < count; ++i) later[i] *= n.beta;
    scatter(n, later, grad_start, 0, row, positions, false);
  }
}

}  // namespace

extern "C" {

// out [steps][rows][pooled positions]; start [rows][positions] or null (at rest). Returns 0, or 1 where there was
// no memory.
int snn_lif_forward(const Neurons* neurons, const float* current, const float* start, float* out) {
  const Neurons n = *neurons;
  const Shape s(n);
  return in_parts(n.rows, n.threads, [=](int64_t, int64_t first, int64_t last) {
    Buffers buffers(n, s, false);
    for (int64_t row = first; row < last; ++row) forward_row(n, s, row, current, start, out, buffers);
  });
}

// grad_current like current, grad_start like start or null; grad_neurons [beta, threshold] or null. Returns as
// snn_lif_forward.
int snn_lif_backward(const Neurons* neurons, const float* current, const float* start, const float* grad_out,
                      float* grad_current, float* grad_start, double* grad_neurons) {
  const Neurons n = *neurons;
  const Shape s(n);
  std::vector<Sums> sums;
  try {
    sums.resize(n.threads > 0 ? n.threads : 0);
  } catch (const std::exception&) {
    return 1;
  }
  Sums* each = sums.data();
  const int failed = in_parts(n.rows, n.threads, [=](int64_t thread, int64_t first, int64_t last) {
    Buffers buffers(n, s, true);
    for (int64_t row = first; row < last; ++row)
      backward_row(n, s, row, current, start, grad_out, grad_current, grad_start,
                   grad_neurons ? each + thread : nullptr, buffers);
  });
  if (grad_neurons)
    for (const Sums& part : sums) {
      grad_neurons[0] += part.beta;
      grad_neurons[1] += part.threshold;
    }
  return failed;
}

}  // extern "C"
