#include "lowbit/metric/score.h"

#include <algorithm>
#include <chrono>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"

namespace lowbit {
namespace {

constexpr int64_t kRowsAtOnce = 1024;  // rows of one forward pass, short windows together
constexpr int64_t kLogitRows = 64;     // logits held at once

// BOS, or where a model has none the first token as it is.
std::vector<int32_t> Start(const Tokenizer& tokenizer) {
  return tokenizer.bos() >= 0 ? std::vector<int32_t>{tokenizer.bos()} : std::vector<int32_t>();
}

int64_t BytesOf(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  int64_t bytes = 0;
  for (const int32_t token : tokens) bytes += static_cast<int64_t>(tokenizer.TokenBytes(token).size());
  return bytes;
}

void AddDocument(const Tokenizer& tokenizer, const std::string& entry, const ScoreOptions& options,
                 Windows& out) {
  EncodeOptions encode;
  encode.add_special = false;
  if (!options.prefix_space) encode.prefix_space = PrefixSpace::kNever;
  const std::vector<int32_t> body = tokenizer.Encode(entry, encode);
  const std::vector<int32_t> start = Start(tokenizer);
  const auto room = options.context - static_cast<int64_t>(start.size());
  const auto count = static_cast<int64_t>(body.size());
  if (count == 0 || (count > room && options.long_entries == LongEntries::kSkip)) {
    ++out.left_out;
    return;
  }
  for (int64_t at = 0; at < count; at += room) {
    const int64_t n = std::min(room, count - at);
    Window window{.tokens = start};
    window.tokens.insert(window.tokens.end(), body.begin() + at, body.begin() + at + n);
    if (window.tokens.size() < 2) continue;
    // A whole entry stands for all its bytes, whatever the tokenizer drops or adds; a piece for those of its
    // tokens.
    const std::span<const int32_t> scored = std::span(window.tokens).subspan(1);
    window.bytes =
        n == count && !start.empty() ? static_cast<int64_t>(entry.size()) : BytesOf(tokenizer, scored);
    out.windows.push_back(std::move(window));
  }
}

void AddLlamaCpp(const Tokenizer& tokenizer, const std::string& text, const ScoreOptions& options,
                 Windows& out) {
  const std::vector<int32_t> tokens = tokenizer.Encode(text, {});
  const auto windows = static_cast<int64_t>(tokens.size()) / options.context;
  if (static_cast<int64_t>(tokens.size()) < 2 * options.context) {
    Fail(
        "the text has {} tokens; llama.cpp's scoring needs at least two windows of {}: give a longer text or "
        "a smaller "
        "--context",
        tokens.size(), options.context);
  }
  for (int64_t i = 0; i < windows; ++i) {
    const auto begin = tokens.begin() + i * options.context;
    Window window{.tokens = {begin, begin + options.context}, .first_scored = options.context / 2 + 1};
    if (tokenizer.add_bos() && tokenizer.bos() >= 0) window.tokens[0] = tokenizer.bos();
    window.bytes =
        BytesOf(tokenizer, std::span(window.tokens).subspan(static_cast<size_t>(window.first_scored)));
    out.windows.push_back(std::move(window));
  }
}

// The hidden states of all windows from `first` on, each run in pieces as long as the tail of a packed cache.
const float* ForwardInPieces(LanguageModel& model, std::vector<KvCache>& caches,
                             std::span<const int32_t> tokens, const std::vector<Window>& windows,
                             size_t first, Buffer<float>& rows) {
  const int64_t width = model.width();
  rows.Reserve(tokens.size() * static_cast<size_t>(width));
  int64_t row = 0;
  for (size_t k = 0; k < caches.size(); ++k) {
    const auto length = static_cast<int64_t>(windows[first + k].tokens.size());
    for (int64_t at = 0; at < length; at += kCacheTail) {
      const int64_t n = std::min(kCacheTail, length - at);
      const Segment segment{&caches[k], at, n, length};
      const float* hidden =
          model.Forward({&segment, 1}, tokens.subspan(static_cast<size_t>(row + at), static_cast<size_t>(n)));
      std::copy_n(hidden, n * width, rows.data() + (row + at) * width);
    }
    row += length;
  }
  return rows.data();
}

}  // namespace

Windows MakeWindows(const Tokenizer& tokenizer, const std::vector<std::string>& entries,
                    const ScoreOptions& options) {
  if (options.context < 4) FailUsage("--context must be at least 4");
  Windows out;
  if (options.scoring == Scoring::kDocuments) {
    for (const std::string& entry : entries) AddDocument(tokenizer, entry, options, out);
  } else {
    std::string text;
    for (const std::string& entry : entries) text += entry;
    AddLlamaCpp(tokenizer, text, options, out);
  }
  if (options.max_tokens > 0) {
    int64_t scored = 0;
    size_t keep = 0;
    while (keep < out.windows.size() && scored < options.max_tokens) {
      scored += static_cast<int64_t>(out.windows[keep].tokens.size()) - out.windows[keep].first_scored;
      ++keep;
    }
    out.windows.resize(keep);
  }
  if (out.windows.empty())
    Fail("there is nothing to score: {} entries were empty or longer than the context", out.left_out);
  return out;
}

Scores Score(LanguageModel& model, LanguageModel* reference, const Windows& windows,
             const ScoreOptions& options, ThreadPool& pool, const std::string& label) {
  if (reference != nullptr && reference->vocab() != model.vocab()) {
    Fail("{} has a vocabulary of {}, the reference {} of {}: they cannot be compared",
         model.model().path.string(), model.vocab(), reference->model().path.string(), reference->vocab());
  }
  const auto start = std::chrono::steady_clock::now();
  Scores scores{.left_out = windows.left_out};
  int64_t total = 0, done = 0;
  for (const Window& window : windows.windows) total += static_cast<int64_t>(window.tokens.size());
  Progress progress(label, total, "tokens");
  // Logits of the rows at once, scored in parallel: the sums are taken in order afterwards.
  Buffer<float> logits(static_cast<size_t>(kLogitRows * model.vocab()));
  Buffer<float> expected(reference != nullptr ? static_cast<size_t>(kLogitRows * model.vocab()) : 0);
  std::vector<TokenScore> token_scores(kLogitRows);
  Buffer<float> rows, reference_rows;
  const auto& all = windows.windows;
  for (size_t i = 0; i < all.size();) {
    size_t j = i;
    std::vector<int32_t> tokens;
    std::vector<KvCache> caches, reference_caches;
    while (j < all.size() &&
           (j == i || static_cast<int64_t>(tokens.size() + all[j].tokens.size()) <= kRowsAtOnce)) {
      tokens.insert(tokens.end(), all[j].tokens.begin(), all[j].tokens.end());
      const auto length = static_cast<int64_t>(all[j].tokens.size());
      caches.push_back(model.MakeCache(length, options.cache));
      if (reference != nullptr)
        reference_caches.push_back(reference->MakeCache(length, options.reference_cache));
      ++j;
    }
    const auto forward = [&](LanguageModel& m, std::vector<KvCache>& of, Buffer<float>& held) {
      if (of[0].format().packed()) return ForwardInPieces(m, of, tokens, all, i, held);
      std::vector<Segment> segments;
      for (size_t k = i; k < j; ++k)
        segments.push_back({&of[k - i], 0, static_cast<int64_t>(all[k].tokens.size()), 0});
      return m.Forward(segments, tokens);
    };
    const float* hidden = forward(model, caches, rows);
    const float* reference_hidden =
        reference != nullptr ? forward(*reference, reference_caches, reference_rows) : nullptr;
    int64_t row = 0;
    for (size_t k = i; k < j; ++k) {
      const auto length = static_cast<int64_t>(all[k].tokens.size());
      for (int64_t at = all[k].first_scored - 1; at < length - 1; at += kLogitRows) {
        const int64_t count = std::min(kLogitRows, length - 1 - at);
        model.Logits(hidden + (row + at) * model.width(), count, logits.data());
        if (reference != nullptr) {
          reference->Logits(reference_hidden + (row + at) * reference->width(), count, expected.data());
        }
        const auto vocab = static_cast<size_t>(model.vocab());
        CheckInterrupt();
        model.CheckLogits(std::span(logits.data(), static_cast<size_t>(count) * vocab));
        if (reference != nullptr)
          reference->CheckLogits(std::span(expected.data(), static_cast<size_t>(count) * vocab));
        pool.Run(count, [&](int64_t r, int) {
          const std::span<const float> mine(logits.data() + static_cast<size_t>(r) * vocab, vocab);
          const int32_t target = all[k].tokens[static_cast<size_t>(at + r + 1)];
          if (reference == nullptr) {
            token_scores[r] = ScoreToken(mine, target);
          } else {
            token_scores[r] =
                ScoreToken(mine, target, {expected.data() + static_cast<size_t>(r) * vocab, vocab});
          }
        });
        for (int64_t r = 0; r < count; ++r) {
          scores.metrics.Add(token_scores[r]);
          size_t bucket = 0;
          for (int64_t n = at + r + 1; n >= kFirstContext; n /= 2) ++bucket;
          if (scores.by_context.size() <= bucket) scores.by_context.resize(bucket + 1);
          scores.by_context[bucket].Add(token_scores[r]);
        }
      }
      scores.metrics.AddBytes(all[k].bytes);
      row += length;
      done += length;
    }
    progress.Update(done);
    scores.windows += static_cast<int64_t>(j - i);
    i = j;
  }
  (void)options;
  scores.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return scores;
}

}  // namespace lowbit
