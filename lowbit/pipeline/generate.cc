#include "lowbit/pipeline/generate.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

double Since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::string StopFilter::Push(std::string_view text) {
  if (stopped_) return "";
  held_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stop_) {
    if (!stop.empty()) first = std::min(first, held_.find(stop));
  }
  if (first != std::string::npos) {
    stopped_ = true;
    std::string out = held_.substr(0, first);
    held_.clear();
    return out;
  }
  size_t keep = 0;  // the longest end of held_ that begins a stop string
  for (const std::string& stop : stop_) {
    for (size_t n = std::min(held_.size(), stop.empty() ? 0 : stop.size() - 1); n > keep; --n) {
      if (std::string_view(held_).substr(held_.size() - n) == std::string_view(stop).substr(0, n)) {
        keep = n;
        break;
      }
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopFilter::Finish() {
  return stopped_ ? "" : std::exchange(held_, "");
}

Generator::Generator(LanguageModel& model, int64_t context, const CacheFormat& cache)
    : model_(model), cache_(model.MakeCache(context, cache)), context_(context) {}

Generated Generator::Run(std::span<const int32_t> prompt, const GenerateOptions& options,
                         const std::function<void(std::string_view)>& show) {
  const Tokenizer* tokenizer = model_.model().tokenizer.get();
  const auto length = static_cast<int64_t>(prompt.size());
  if (length == 0) Fail("the prompt is empty and the model has no start token");
  if (length > context_) {
    Fail("the prompt has {} tokens, the context holds {}; give a shorter prompt or a larger --ctx", length,
         context_);
  }
  Generated result{.prompt_tokens = length};
  // The last token is always run: its logits are needed.
  int64_t common = 0;
  while (common < std::min<int64_t>(length - 1, static_cast<int64_t>(cached_.size())) &&
         cached_[common] == prompt[common])
    ++common;
  common = cache_.Rewind(common);
  cached_.resize(static_cast<size_t>(common));
  result.reused_tokens = common;

  std::vector<float> logits(static_cast<size_t>(model_.vocab()));
  auto start = std::chrono::steady_clock::now();
  model_.Feed(cache_, prompt.subspan(static_cast<size_t>(common)), logits.data());
  cached_.assign(prompt.begin(), prompt.end());
  result.prefill_seconds = Since(start);

  Sampler sampler(options.sampler);
  Utf8Stream utf8;
  StopFilter filter(options.stop);
  const auto emit = [&](std::string text) {
    result.text += text;
    if (show && !text.empty()) show(text);
  };
  start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < options.max_tokens; ++i) {
    CheckInterrupt();
    model_.CheckLogits(logits);
    const int32_t token = sampler.Next(logits, cached_);
    const auto& ends = model_.model().end_tokens;
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) {
      result.reason = StopReason::kEndToken;
      break;
    }
    result.tokens.push_back(token);
    if (tokenizer != nullptr) emit(filter.Push(utf8.Push(tokenizer->TokenBytes(token))));
    if (filter.stopped()) {
      result.reason = StopReason::kStopString;
      break;
    }
    if (cache_.length() == context_) {
      result.reason = StopReason::kContextFull;
      break;
    }
    if (i + 1 == options.max_tokens) break;
    model_.Feed(cache_, {&token, 1}, logits.data());
    cached_.push_back(token);
  }
  result.decode_seconds = Since(start);
  emit(filter.Push(utf8.Finish()));
  emit(filter.Finish());
  return result;
}

}  // namespace lowbit
