// Spikes as lists, and vectors to look for them and to add their weights.

#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace {

// Vectors as wide as the processor's: wider ones are taken apart by way of memory, which is ten times slower.
// kBlock of them are computed together, as many as there are registers for.
#if defined(__AVX512F__)
constexpr int kLanes = 16, kBlock = 10, kDenseRows = 4, kDenseBlock = 4;
#elif defined(__AVX__)
constexpr int kLanes = 8, kBlock = 10, kDenseRows = 4, kDenseBlock = 2;
#elif defined(__aarch64__)
constexpr int kLanes = 4, kBlock = 20, kDenseRows = 4, kDenseBlock = 4;
#else
constexpr int kLanes = 4, kBlock = 10, kDenseRows = 4, kDenseBlock = 2;
#endif
constexpr int kWhole = 16;  // a row is a multiple of it, whatever the vectors are
constexpr int kMasks = 64 / kLanes;  // of vectors in a word of 64 bits

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));
typedef float Unaligned __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef int32_t Mask __attribute__((vector_size(kLanes * sizeof(int32_t))));

inline Vec load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Unaligned*>(p) = v; }
inline Vec choose(Mask mask, Vec yes) { return (Vec)(mask & (Mask)yes); }

// Bit j is lane j of `values > limit`.
inline uint64_t above(Vec values, Vec limit) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)values, (__m512)limit, _CMP_GT_OQ);
#elif defined(__AVX__)
  return uint64_t(_mm256_movemask_ps(_mm256_cmp_ps((__m256)values, (__m256)limit, _CMP_GT_OQ)));
#elif defined(__SSE__)
  return uint64_t(_mm_movemask_ps(_mm_cmpgt_ps((__m128)values, (__m128)limit)));
#else
  const Mask bits = values > limit;
  uint64_t out = 0;
  for (int i = 0; i < kLanes; ++i) out |= uint64_t(bits[i] & 1) << i;
  return out;
#endif
}

inline int64_t padded(int64_t channels) { return (channels + kWhole - 1) / kWhole * kWhole; }

template <int B>
using Size = std::integral_constant<int, B>;

template <int B, class Work>
inline void of_size(int64_t vectors, Work&& work) {
  if constexpr (B == 1) {
    work(Size<1>{});
  } else if (vectors >= B) {
    work(Size<B>{});
  } else {
    of_size<B - 1>(vectors, work);
  }
}

// `work(Size<B>, first)` for each block of B vectors of a row.
template <int Most, class Work>
inline void in_blocks(int64_t width, Work&& work) {
  for (int64_t first = 0; first < width; first += Most * kLanes)
    of_size<Most>((width - first) / kLanes, [&](auto size) { work(size, first); });
}

// Lists of the channels that fired, one a row.
struct Lists {
  uint16_t* index;
  int32_t* count;
  int64_t width;
  uint16_t* at(int64_t row) const { return index + row * width; }
};

// Adds the channels of up to 64 bits, the first of which is `first`, to a list.
inline int64_t append(uint16_t* list, int64_t n, uint64_t bits, int64_t first) {
  for (; bits; bits &= bits - 1) list[n++] = uint16_t(first + __builtin_ctzll(bits));
  return n;
}

// Rows of 0 and 1 as lists.
void scan(const float* rows, int64_t count, int64_t channels, const Lists& lists) {
  for (int64_t r = 0; r < count; ++r, rows += channels) {
    int64_t n = 0;
    for (int64_t c = 0; c < channels; c += 64) {
      uint64_t bits = 0;
      for (int j = 0; j < kMasks && c + j * kLanes < channels; ++j) {
        const int64_t at = c + j * kLanes, left = channels - at;
        Vec values = {};
        if (left >= kLanes) values = load(rows + at);
        else std::memcpy(&values, rows + at, left * sizeof(float));
        bits |= above(values, Vec{}) << (j * kLanes);
      }
      n = append(lists.at(r), n, bits, c);
    }
    lists.count[r] = int32_t(n);
  }
}

// What a projection looks back at after `count` more rows, into the place of what it looked back at before.
void remember(const Lists& lists, int64_t count, int64_t past, int64_t channels, float* rows) {
  const int64_t stay = past > count ? past - count : 0;
  std::memmove(rows, rows + (past - stay) * channels, stay * channels * sizeof(float));
  std::memset(rows + stay * channels, 0, (past - stay) * channels * sizeof(float));
  for (int64_t i = stay; i < past; ++i) {
    const int64_t row = count - past + i;
    const uint16_t* fired = lists.at(row);
    for (int64_t k = 0; k < lists.count[row]; ++k) rows[i * channels + fired[k]] = 1.0f;
  }
}

template <int B>
inline void add_spikes(const uint16_t* fired, int64_t count, const float* weight, int64_t width, Vec* sum) {
  for (const uint16_t* end = fired + count; fired < end; ++fired) {
    const float* row = weight + int64_t(*fired) * width;
    for (int j = 0; j < B; ++j) sum[j] += load(row + j * kLanes);
  }
}

}  // namespace
