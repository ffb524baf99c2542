// Text generation: prompt in, text out piece by piece.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lowbit/pipeline/sampler.h"
#include "lowbit/runtime/language_model.h"

namespace lowbit {

struct GenerateOptions {
  SamplerOptions sampler;
  int64_t max_tokens = 128;
  std::vector<std::string> stop;  // generation ends before any of these strings
};

enum class StopReason : uint8_t { kEndToken, kStopString, kMaxTokens, kContextFull };

struct Generated {
  std::vector<int32_t> tokens;  // without the end token
  std::string text;
  StopReason reason = StopReason::kMaxTokens;
  double prefill_seconds = 0, decode_seconds = 0;
  int64_t prompt_tokens = 0, reused_tokens = 0;
};

// Finds stop strings in a stream: text that may be the beginning of one is held back until it is known not to
// be.
class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stop) : stop_(std::move(stop)) {}
  // What may be shown now.
  std::string Push(std::string_view text);
  std::string Finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stop_;
  std::string held_;
  bool stopped_ = false;
};

// A conversation with one cache: tokens that the next prompt has in common with what is cached are not run
// again.
class Generator {
 public:
  Generator(LanguageModel& model, int64_t context, const CacheFormat& cache = {});

  const KvCache& cache() const { return cache_; }

  // `show` receives text as it becomes certain: whole UTF-8 characters only, never a stop string. Throws
  // Error when the prompt does not fit the context, Interrupted on Ctrl-C.
  Generated Run(std::span<const int32_t> prompt, const GenerateOptions& options,
                const std::function<void(std::string_view)>& show = nullptr);

 private:
  LanguageModel& model_;
  KvCache cache_;
  std::vector<int32_t> cached_;
  int64_t context_;
};

}  // namespace lowbit
