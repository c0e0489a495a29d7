// A layer of leaky integrate-and-fire neurons over all time steps with max pooling of its spikes, forwards and
// backwards. One row (a clip's channel) at a time, so that its membranes stay in the cache; nothing but the
// current is kept for the way back, where the membranes are computed again.
//
// Tensors are [steps][rows][height * width]; the current may have one step that stands for all.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

extern "C" {

// Mirrored field by field in lif.py.
struct Neurons {
  int64_t steps, current_steps, rows, height, width, pool_h, pool_w;
  float beta, threshold;
  int64_t decays_reset;
  int64_t surrogate;  // 0 arctan, 1 fast sigmoid, 2 heaviside, 3 straight through
  float slope;
  int64_t threads;
};

}  // extern "C"

namespace {

struct Shape {
  int64_t positions, out_h, out_w;
  explicit Shape(const Neurons& n)
      : positions(n.height * n.width), out_h(n.height / n.pool_h), out_w(n.width / n.pool_w) {}
  int64_t out() const { return out_h * out_w; }
};

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

void forward_row(const Neurons& n, const Shape& s, int64_t row, const float* current, const float* start,
                 float* out, float* mem, uint8_t* fired_at) {
  const float threshold = n.threshold;
  const bool pools = n.pool_h * n.pool_w > 1;
  for (int64_t t = 0; t < n.steps; ++t) {
    const float* x = current + ((n.current_steps > 1 ? t : 0) * n.rows + row) * s.positions;
    const bool first = t == 0;
    const float* before = first && start ? start + row * s.positions : mem + (t + 1) % 2 * s.positions;
    float* now = mem + t % 2 * s.positions;
    step(n, first && !start, s.positions, before, x, now);
    float* spikes = out + (t * n.rows + row) * s.out();
    if (!pools) {
      for (int64_t i = 0; i < s.positions; ++i) spikes[i] = now[i] > threshold ? 1.0f : 0.0f;
      continue;
    }
    above(n, s.positions, now, fired_at);
    for (int64_t y = 0; y < s.out_h; ++y)
      for (int64_t x = 0; x < s.out_w; ++x) {
        bool fired;
        winner(n, fired_at, y, x, &fired);
        spikes[y * s.out_w + x] = fired;
      }
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

void backward_row(const Neurons& n, const Shape& s, int64_t row, const float* current, const float* start,
                  const float* grad_out, float* grad_current, float* grad_start, Sums* sums,
                  std::vector<float>& mems, std::vector<float>& buffer, uint8_t* fired_at) {
  const int64_t count = s.positions;
  const float* begin = start ? start + row * count : nullptr;
  for (int64_t t = 0; t < n.steps; ++t) {
    const float* x = current + ((n.current_steps > 1 ? t : 0) * n.rows + row) * count;
    const float* before = t ? &mems[(t - 1) * count] : begin;
    step(n, !before, count, before, x, &mems[t * count]);
  }
  float* later = buffer.data();  // gradient of the membrane that follows
  float* grad = buffer.data() + count;
  const bool pools = n.pool_h * n.pool_w > 1;
  for (int64_t t = n.steps - 1; t >= 0; --t) {
    const float* mem = &mems[t * count];
    const float* from = grad_out + (t * n.rows + row) * s.out();
    if (pools) {
      above(n, count, mem, fired_at);
      for (int64_t i = 0; i < count; ++i) grad[i] = 0.0f;
      for (int64_t y = 0; y < s.out_h; ++y)
        for (int64_t x = 0; x < s.out_w; ++x) {
          bool fired;
          grad[winner(n, fired_at, y, x, &fired)] = from[y * s.out_w + x];
        }
    } else {
      for (int64_t i = 0; i < count; ++i) grad[i] = from[i];
    }
    through_spike(n, count, mem, grad);
    if (sums) {
      double total = 0;
      for (int64_t i = 0; i < count; ++i) total += grad[i];
      sums->threshold -= total;
    }
    if (t + 1 < n.steps)
      for (int64_t i = 0; i < count; ++i) grad[i] += later[i] * n.beta;
    const float* before = t ? &mems[(t - 1) * count] : begin;
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
    if (n.current_steps > 1) {
      float* to = grad_current + (t * n.rows + row) * count;
      for (int64_t i = 0; i < count; ++i) to[i] = grad[i];
    } else {
      float* to = grad_current + row * count;
      if (t == n.steps - 1)
        for (int64_t i = 0; i < count; ++i) to[i] = grad[i];
      else
        for (int64_t i = 0; i < count; ++i) to[i] += grad[i];
    }
    float* swap = later;
    later = grad;
    grad = swap;
  }
  if (grad_start)
    for (int64_t i = 0; i < count; ++i) grad_start[row * count + i] = later[i] * n.beta;
}

// Splits the rows over threads; `work(thread, first, last)`.
template <class Work>
void over_rows(const Neurons& n, Work work) {
  const int64_t threads = n.threads < n.rows ? n.threads : n.rows;
  std::vector<std::thread> others;
  for (int64_t k = 1; k < threads; ++k)
    others.emplace_back(work, k, n.rows * k / threads, n.rows * (k + 1) / threads);
  work(0, 0, threads > 0 ? n.rows / threads : 0);
  for (auto& other : others) other.join();
}

}  // namespace

extern "C" {

// out [steps][rows][pooled positions]; start [rows][positions] or null (at rest).
void snn_lif_forward(const Neurons* neurons, const float* current, const float* start, float* out) {
  const Neurons n = *neurons;
  const Shape s(n);
  over_rows(n, [=](int64_t, int64_t first, int64_t last) {
    std::vector<float> mem(2 * s.positions);
    std::vector<uint8_t> fired_at(s.positions + 8);
    for (int64_t row = first; row < last; ++row)
      forward_row(n, s, row, current, start, out, mem.data(), fired_at.data());
  });
}

// grad_current like current, grad_start like start or null; grad_neurons [beta, threshold] or null.
void snn_lif_backward(const Neurons* neurons, const float* current, const float* start, const float* grad_out,
                      float* grad_current, float* grad_start, double* grad_neurons) {
  const Neurons n = *neurons;
  const Shape s(n);
  std::vector<Sums> sums(n.threads);
  Sums* each = sums.data();
  over_rows(n, [=](int64_t thread, int64_t first, int64_t last) {
    std::vector<float> mems(n.steps * s.positions), buffer(2 * s.positions);
    std::vector<uint8_t> fired_at(s.positions + 8);
    for (int64_t row = first; row < last; ++row)
      backward_row(n, s, row, current, start, grad_out, grad_current, grad_start,
                   grad_neurons ? each + thread : nullptr, mems, buffer, fired_at.data());
  });
  if (grad_neurons)
    for (const Sums& part : sums) {
      grad_neurons[0] += part.beta;
      grad_neurons[1] += part.threshold;
    }
}

}  // extern "C"
