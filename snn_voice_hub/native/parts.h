// Work in threads of a call's own: none is left behind that a forked process would wait for.

#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace {

// Splits `count` rows over threads; `work(thread, first, last)`. Rows for which there is no other thread are done
// in this one. Returns 0, or 1 where there was no memory: nothing may be thrown into C, nor out of a thread.
template <class Work>
int in_parts(int64_t count, int64_t threads, Work work) {
  if (threads > count) threads = count;
  std::atomic<int> failed{0};
  const auto part = [&](int64_t k) {
    try {
      work(k, count * k / threads, count * (k + 1) / threads);
    } catch (const std::exception&) {
      failed = 1;
    }
  };
  std::vector<std::thread> others;
  int64_t k = 1;
  try {
    for (; k < threads; ++k) others.emplace_back(part, k);
  } catch (const std::exception&) {
  }
  if (threads > 0) part(0);
  for (; k < threads; ++k) part(k);
  for (auto& other : others) other.join();
  return failed;
}

}  // namespace
