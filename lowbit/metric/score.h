// How well a language model predicts a text: the token sequences that a protocol makes of it, and their
// scores.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lowbit/metric/lm_metrics.h"
#include "lowbit/runtime/language_model.h"

namespace lowbit {

enum class Scoring : uint8_t {
  kDocuments,  // each entry alone after its start token; every token of the entry is scored
  kLlamaCpp,   // the text in non-overlapping windows; the first token of a window is replaced by BOS when the
               // model adds one; only the second half of a window is scored
};
enum class LongEntries : uint8_t { kCut, kSkip };  // entries longer than the context: in pieces, or left out

struct ScoreOptions {
  Scoring scoring = Scoring::kDocuments;
  int64_t context = 512;
  LongEntries long_entries = LongEntries::kCut;
  bool prefix_space = true;  // false: no leading space piece even where the tokenizer adds one
  int64_t max_tokens = 0;    // stop after about this many scored tokens; 0: all
  // What keys and values are kept as. With a packed cache text is run in pieces no longer than its tail, so
  // that every token reads the packed form of all older ones but the tail.
  CacheFormat cache = {}, reference_cache = {.plain = CacheType::kF32};
};

// A sequence to run at once: token i + 1 is scored from the logits of token i, for i + 1 >= first_scored.
struct Window {
  std::vector<int32_t> tokens;
  int64_t first_scored = 1;
  int64_t bytes = 0;  // bytes of text that the scored tokens stand for
};

struct Windows {
  std::vector<Window> windows;
  int64_t left_out = 0;  // entries that were too long or empty
};

// Throws Error when nothing is left to score.
Windows MakeWindows(const Tokenizer& tokenizer, const std::vector<std::string>& entries,
                    const ScoreOptions& options);

// The context lengths that scores are told apart by: fewer than 128 tokens before, fewer than 256, ...
inline constexpr int64_t kFirstContext = 128;

struct Scores {
  LmMetrics metrics;
  std::vector<LmMetrics> by_context;  // entry i: kFirstContext 2^(i-1) <= tokens before < kFirstContext 2^i
  int64_t windows = 0, left_out = 0;
  double seconds = 0;
};

// Scores `model`; with a reference (the same vocabulary), also KL(reference || model) and agreement of the
// argmax.
Scores Score(LanguageModel& model, LanguageModel* reference, const Windows& windows,
             const ScoreOptions& options, ThreadPool& pool, const std::string& label);

}  // namespace lowbit
