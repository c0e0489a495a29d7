// Spiking networks on the frames of the sound: some steps of some streams, from a state to the state after them.
//
// Spikes are lists: for each row of a layer the indices of the channels that fired. A convolution adds the weight
// rows of those channels, those of the rows before included, which a state holds as 0 and 1; only what hears
// the frames of the sound is a product. A current stays in registers until its neurons have fired.
//
// Each value of a stream is the same sum in the same order, however many steps come at once and whatever
// streams are beside it. Compiled without contraction of a * b + c, as events.cpp.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "parts.h"
#include "spikes.h"

extern "C" {

// Mirrored field by field in plan.py. Places in a state are counted in floats.
struct FrameProjection {
  int64_t source;  // the layer whose spikes come in; -1 for the frames of the sound
  int64_t channels, kernel, stride, dilation;  // of what comes in
  int64_t past;  // where a state holds the rows before: [(kernel - 1) * dilation][channels]
  const float* weight;  // [kernel][channels][channels of the layer, in whole vectors]
};

struct FrameLayer {
  const FrameProjection* projections;
  int64_t count;
  int64_t channels;
  int64_t rows;      // a step of the network
  int64_t residual;  // an earlier layer whose current is added; -1 for none
  int64_t kept;      // whether a later layer adds this one's current
  int64_t membrane;  // where a state holds it: [channels]
  int64_t decays_reset;
  const float* bias;  // as beta: [channels, in whole vectors]
  const float* beta;
  float threshold;
};

struct FrameNet {
  const FrameLayer* layers;
  int64_t count;
  int64_t bands, frames;  // of a step of the network
  int64_t state;          // floats of a state
  int64_t classes;
  const float* head;  // [channels of the last layer][classes, in whole vectors]
  const float* head_bias;
  float num_steps;
};

}  // extern "C"

namespace {

// Steps that are computed layer by layer, counted over all streams of a group: what they leave behind stays in
// the cache, and so does a layer's weight while all of them use it.
constexpr int64_t kSteps = 32;
constexpr size_t kAlign = 64;

inline int64_t past_of(const FrameProjection& c) { return (c.kernel - 1) * c.dilation; }

// --- spikes -----------------------------------------------------------------------------------------------

// The spikes that a projection hears: rows before, then rows of this call.
struct Heard {
  const FrameProjection* projection;
  int64_t past;
  Lists before, now;
};

template <int B>
inline void add_heard(const Heard& heard, int64_t row, int64_t width, int64_t first, Vec* sum) {
  const FrameProjection& c = *heard.projection;
  const float* weight = c.weight + first;
  int64_t at = c.stride * row + c.stride - 1;
  for (int64_t k = 0; k < c.kernel; ++k, at += c.dilation, weight += c.channels * width) {
    const bool before = at < heard.past;
    const Lists& lists = before ? heard.before : heard.now;
    const int64_t r = before ? at : at - heard.past;
    add_spikes<B>(lists.at(r), lists.count[r], weight, width, sum);
  }
}

// --- frames -----------------------------------------------------------------------------------------------

// Adds to R rows of B vectors of currents what the frames bring.
template <int R, int B>
inline void add_products(const FrameProjection& c, const float* frames, int64_t width, float* current) {
  Vec sum[R][B];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < B; ++j) sum[r][j] = load(current + r * width + j * kLanes);
  const float* weight = c.weight;
  for (int64_t k = 0; k < c.kernel; ++k) {
    const float* in = frames + k * c.dilation * c.channels;
    for (int64_t i = 0; i < c.channels; ++i, weight += width) {
      Vec row[B];
      for (int j = 0; j < B; ++j) row[j] = load(weight + j * kLanes);
      for (int r = 0; r < R; ++r) {
        const float value = in[r * c.stride * c.channels + i];
        for (int j = 0; j < B; ++j) sum[r][j] += row[j] * value;
      }
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < B; ++j) store(current + r * width + j * kLanes, sum[r][j]);
}

// The same for `count` rows; `frames` [past + rows * stride][bands].
void add_frames(const FrameProjection& c, const float* frames, int64_t count, int64_t width, float* current) {
  in_blocks<kDenseBlock>(width, [&](auto size, int64_t first) {
    constexpr int B = decltype(size)::value;
    FrameProjection part = c;
    part.weight += first;
    const auto from = [&](int64_t row) { return frames + (c.stride * row + c.stride - 1) * c.channels; };
    int64_t row = 0;
    for (; row + kDenseRows <= count; row += kDenseRows)
      add_products<kDenseRows, B>(part, from(row), width, current + row * width + first);
    for (; row < count; ++row) add_products<1, B>(part, from(row), width, current + row * width + first);
  });
}

// --- a stream ---------------------------------------------------------------------------------------------

// Where things lie in a stream's part of a thread's memory, in bytes.
struct LayerPlaces {
  size_t current, index, count;
};
struct ProjectionPlaces {
  size_t rows, count;  // lists of the rows before, or the frames
};

struct Memory {
  std::vector<LayerPlaces> layers;
  std::vector<ProjectionPlaces> projections;  // of all layers, one after the other
  size_t state = 0, size = 0;
  int64_t widest = 0;

  Memory(const FrameNet& net, int64_t steps) {
    for (const FrameLayer* l = net.layers; l < net.layers + net.count; ++l) {
      const int64_t width = padded(l->channels), rows = l->rows * steps;
      widest = width > widest ? width : widest;
      LayerPlaces places = {};
      bool dense = false;
      for (const FrameProjection* c = l->projections; c < l->projections + l->count; ++c) {
        const int64_t past = past_of(*c);
        dense |= c->source < 0;
        if (c->source < 0) projections.push_back({take((past + steps * net.frames) * net.bands * sizeof(float)), 0});
        else projections.push_back({take(past * padded(c->channels) * sizeof(uint16_t)), take(past * sizeof(int32_t))});
      }
      if (dense || l->kept) places.current = take(rows * width * sizeof(float));
      places.index = take(rows * width * sizeof(uint16_t));
      places.count = take(rows * sizeof(int32_t));
      layers.push_back(places);
    }
    state = take(net.state * sizeof(float));
  }

 private:
  size_t take(size_t bytes) {
    const size_t place = size;
    size += (bytes + kAlign - 1) / kAlign * kAlign;
    return place;
  }
};

struct Stream {
  char* memory;
  float* state;
  const float* x;  // of its first step
};

// Where a step, a stream, a band and a frame of the input lie apart, in floats.
struct Strides {
  int64_t step, stream, band, frame;
};

struct Job {
  const FrameNet& net;
  const Memory& memory;
  const Strides& apart;
  float* membrane;  // of one layer
  Heard* heard;     // by one layer

  Lists lists(const Stream& s, int64_t layer) const {
    const LayerPlaces& places = memory.layers[layer];
    return {reinterpret_cast<uint16_t*>(s.memory + places.index), reinterpret_cast<int32_t*>(s.memory + places.count),
            padded(net.layers[layer].channels)};
  }
  float* current(const Stream& s, int64_t layer) const {
    return reinterpret_cast<float*>(s.memory + memory.layers[layer].current);
  }
};

// The frames that a projection hears, those before included; a state then holds the newest of them.
const float* gather(const Job& job, const FrameProjection& c, float* frames, const Stream& s, int64_t steps) {
  const int64_t bands = job.net.bands, past = past_of(c);
  float* before = s.state + c.past;
  std::memcpy(frames, before, past * bands * sizeof(float));
  float* to = frames + past * bands;
  for (int64_t t = 0; t < steps; ++t)
    for (int64_t k = 0; k < job.net.frames; ++k, to += bands) {
      const float* from = s.x + t * job.apart.step + k * job.apart.frame;
      for (int64_t m = 0; m < bands; ++m) to[m] = from[m * job.apart.band];
    }
  std::memcpy(before, frames + steps * job.net.frames * bands, past * bands * sizeof(float));
  return frames;
}

// One block of a row: its current, then its neurons. Returns the length of the list with those that fired.
template <int B>
inline int64_t fire(const FrameLayer& l, const Vec* current, bool rests, int64_t first, float* mem,
                    uint16_t* list, int64_t n) {
  const Vec threshold = Vec{} + l.threshold;
  for (int from = 0; from < B; from += kMasks) {
    uint64_t bits = 0;
    for (int j = from; j < B && j < from + kMasks; ++j) {
      float* at = mem + first + j * kLanes;
      Vec now = current[j];
      if (!rests) {
        const Vec before = load(at), beta = load(l.beta + first + j * kLanes);
        const Vec drop = choose(before > threshold, threshold);
        now = l.decays_reset ? beta * (before - drop) + current[j] : beta * before + current[j] - drop;
      }
      store(at, now);
      bits |= above(now, threshold) << ((j - from) * kLanes);
    }
    // What fills a row to whole vectors does not fire, whatever the threshold is.
    const int64_t left = l.channels - first - from * kLanes;
    if (left < 64) bits &= left > 0 ? (uint64_t(1) << left) - 1 : 0;
    n = append(list, n, bits, first + from * kLanes);
  }
  return n;
}

// All rows of a layer in `steps` steps of a stream; `projection` is its first one's number among all.
void layer(const Job& job, int64_t number, int64_t projection, const Stream& s, int64_t steps, bool rests) {
  const FrameLayer& l = job.net.layers[number];
  const int64_t width = padded(l.channels), rows = l.rows * steps;
  float* current = job.current(s, number);
  int64_t count = 0;
  bool dense = false;
  for (int64_t i = 0; i < l.count; ++i) {
    const FrameProjection& c = l.projections[i];
    const ProjectionPlaces& places = job.memory.projections[projection + i];
    if (c.source < 0) {
      if (!dense)
        for (int64_t r = 0; r < rows; ++r) std::memcpy(current + r * width, l.bias, width * sizeof(float));
      dense = true;
      float* frames = reinterpret_cast<float*>(s.memory + places.rows);
      add_frames(c, gather(job, c, frames, s, steps), rows, width, current);
      continue;
    }
    const Lists before = {reinterpret_cast<uint16_t*>(s.memory + places.rows),
                          reinterpret_cast<int32_t*>(s.memory + places.count), padded(c.channels)};
    const Lists now = job.lists(s, c.source);
    const int64_t past = past_of(c);
    if (past) {
      scan(s.state + c.past, past, c.channels, before);
      remember(now, job.net.layers[c.source].rows * steps, past, c.channels, s.state + c.past);
    }
    job.heard[count++] = Heard{&c, past, before, now};
  }
  float* mem = job.membrane;
  std::memcpy(mem, s.state + l.membrane, l.channels * sizeof(float));
  std::memset(mem + l.channels, 0, (width - l.channels) * sizeof(float));
  const float* residual = l.residual < 0 ? nullptr : job.current(s, l.residual);
  const Lists out = job.lists(s, number);
  for (int64_t r = 0; r < rows; ++r) {
    const float* start = dense ? current + r * width : l.bias;
    int64_t n = 0;
    in_blocks<kBlock>(width, [&](auto size, int64_t first) {
      constexpr int B = decltype(size)::value;
      Vec sum[B];  // a local array, so that it lives in registers
      for (int j = 0; j < B; ++j) sum[j] = load(start + first + j * kLanes);
      for (int64_t i = 0; i < count; ++i) add_heard<B>(job.heard[i], r, width, first, sum);
      if (residual)
        for (int j = 0; j < B; ++j) sum[j] = load(residual + r * width + first + j * kLanes) + sum[j];
      if (l.kept)
        for (int j = 0; j < B; ++j) store(current + r * width + first + j * kLanes, sum[j]);
      n = fire<B>(l, sum, rests && r == 0, first, mem, out.at(r), n);
    });
    out.count[r] = int32_t(n);
  }
  std::memcpy(s.state + l.membrane, mem, l.channels * sizeof(float));
}

// Outputs of a stream; its steps lie `apart` from each other. The newest ones are added to `sum`, if there is one.
void head(const Job& job, const Stream& s, int64_t steps, float* out, int64_t apart, float* sum, int64_t skip) {
  const FrameNet& net = job.net;
  const Lists lists = job.lists(s, net.count - 1);
  const int64_t width = padded(net.classes);
  for (int64_t t = 0; t < steps; ++t) {
    in_blocks<4>(width, [&](auto size, int64_t first) {
      constexpr int B = decltype(size)::value;
      Vec values[B];
      for (int j = 0; j < B; ++j) values[j] = load(net.head_bias + first + j * kLanes);
      add_spikes<B>(lists.at(t), lists.count[t], net.head + first, width, values);
      for (int j = 0; j < B; ++j) {
        const int64_t at = first + j * kLanes, left = net.classes > at ? net.classes - at : 0;
        const int64_t lanes = left < kLanes ? left : kLanes;
        values[j] /= net.num_steps;
        if (out) std::memcpy(out + t * apart + at, &values[j], lanes * sizeof(float));
        if (sum && t >= skip)
          for (int64_t i = 0; i < lanes; ++i) sum[at + i] += values[j][i];
      }
    });
  }
}

struct Call {
  const FrameNet& net;
  const float* x;
  Strides apart;
  int64_t steps, streams;
  const float* before;
  float* after;
  float* out;
  float* sums;
  int64_t newest;
};

void run(const Call& call, int64_t first, int64_t last) {
  const FrameNet& net = call.net;
  const int64_t at_once = call.steps < kSteps ? call.steps : kSteps;
  const int64_t together = at_once ? kSteps / at_once : 1;
  const Memory memory(net, at_once);
  const int64_t group = together < last - first ? together : last - first;
  int64_t most = 1;
  for (int64_t i = 0; i < net.count; ++i) most = net.layers[i].count > most ? net.layers[i].count : most;
  const size_t own = memory.widest * sizeof(float);
  const std::unique_ptr<char[]> block(new char[own + group * memory.size + kAlign]);
  char* start = block.get() + (kAlign - reinterpret_cast<uintptr_t>(block.get()) % kAlign) % kAlign;
  std::vector<Heard> heard(most);
  std::vector<Stream> streams(group);
  const Job job = {net, memory, call.apart, reinterpret_cast<float*>(start), heard.data()};
  for (int64_t b = first; b < last; b += group) {
    const int64_t count = group < last - b ? group : last - b;
    for (int64_t i = 0; i < count; ++i) {
      char* own_memory = start + own + i * memory.size;
      float* state = call.after ? call.after + (b + i) * net.state : reinterpret_cast<float*>(own_memory + memory.state);
      if (call.before) std::memcpy(state, call.before + (b + i) * net.state, net.state * sizeof(float));
      else std::memset(state, 0, net.state * sizeof(float));
      streams[i] = {own_memory, state, call.x + (b + i) * call.apart.stream};
      if (call.sums) std::memset(call.sums + (b + i) * net.classes, 0, net.classes * sizeof(float));
    }
    for (int64_t t = 0; t < call.steps; t += at_once) {
      const int64_t steps = at_once < call.steps - t ? at_once : call.steps - t;
      int64_t projection = 0;
      for (int64_t n = 0; n < net.count; projection += net.layers[n].count, ++n)
        for (int64_t i = 0; i < count; ++i) layer(job, n, projection, streams[i], steps, !call.before && t == 0);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t stream = b + i;
        head(job, streams[i], steps, call.out ? call.out + (t * call.streams + stream) * net.classes : nullptr,
             call.streams * net.classes, call.sums ? call.sums + stream * net.classes : nullptr,
             call.steps - call.newest - t);
        streams[i].x += steps * call.apart.step;
      }
    }
  }
}

}  // namespace

extern "C" {

// The next `steps` of `streams` streams.
//   x       [steps][streams][bands][frames], whose values lie as far apart as the four numbers say, in floats
//   before  states [streams][state], or null where all begin
//   after   states after it, not those before; or null
//   out     outputs [steps][streams][classes], or null
//   sums    sum of each stream's `newest` last outputs [streams][classes], or null
// Returns 0, or 1 where there was no memory.
int snn_frames(const FrameNet* net, const float* x, int64_t step, int64_t stream, int64_t band, int64_t frame,
               int64_t steps, int64_t streams, const float* before, float* after, float* out, float* sums,
               int64_t newest, int64_t threads) {
  const Call call = {*net, x, {step, stream, band, frame}, steps, streams, before, after, out, sums, newest};
  return in_parts(streams, threads, [&](int64_t, int64_t first, int64_t last) { run(call, first, last); });
}

}  // extern "C"
