#include "lab/data/text.h"

#include <algorithm>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/io/file.h"
#include "lowbit/text/utf8.h"

namespace lowbit::lab {
namespace {

std::string WithoutCarriageReturns(std::string text) {
  size_t out = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    text[out++] = text[i];
  }
  text.resize(out);
  return text;
}

// Start of the first line at or after `begin` that starts with `marker`.
size_t FindLine(const std::string& text, const std::string& marker, size_t begin) {
  for (size_t at = text.find(marker, begin); at != std::string::npos; at = text.find(marker, at + 1)) {
    if (at == 0 || text[at - 1] == '\n') return at;
  }
  return std::string::npos;
}

struct Range {
  size_t file, begin, end;
};

Range FindPassage(const std::vector<Document>& files, const Passage& passage, bool& found) {
  Range range{};
  found = false;
  for (size_t f = 0; f < files.size(); ++f) {
    const std::string& text = files[f].text;
    for (size_t at = FindLine(text, passage.from, 0); at != std::string::npos;
         at = FindLine(text, passage.from, at + 1)) {
      if (found)
        Fail("held-out passage '{}': {} has it too; the marker must be unique", passage.from, files[f].name);
      const size_t end = FindLine(text, passage.to, at + 1);
      if (end == std::string::npos) {
        Fail("held-out passage '{}': {} has no line '{}' after it", passage.from, files[f].name, passage.to);
      }
      range = {f, at, end};
      found = true;
    }
  }
  return range;
}

}  // namespace

Corpus LoadCorpus(const CorpusOptions& options) {
  std::vector<std::filesystem::path> paths;
  if (!std::filesystem::is_directory(options.folder))
    Fail("{}: no such folder of texts", options.folder.string());
  for (const auto& entry : std::filesystem::directory_iterator(options.folder)) {
    if (entry.is_regular_file() && entry.path().extension() == options.extension)
      paths.push_back(entry.path());
  }
  if (paths.empty()) Fail("{}: no {} file to train on", options.folder.string(), options.extension);
  std::sort(paths.begin(), paths.end());
  std::vector<Document> files;
  for (const auto& path : paths) {
    files.push_back({path.filename().string(), WithoutCarriageReturns(ReadFile(path))});
    const size_t bad = FirstInvalidUtf8(files.back().text);
    if (bad != std::string_view::npos) Fail("{}: byte {} is not UTF-8", path.string(), bad);
  }

  std::vector<Range> ranges;
  std::string missing;
  for (const Passage& passage : options.heldout) {
    bool found = false;
    const Range range = FindPassage(files, passage, found);
    if (found) ranges.push_back(range);
    if (!found) missing = passage.from;
  }
  if (!ranges.empty() && !missing.empty())
    Fail("held-out passage '{}': no file has a line that begins so", missing);
  if (ranges.empty()) {
    for (size_t f = 0; f < files.size(); ++f) {
      const std::string& text = files[f].text;
      const auto share = static_cast<size_t>(options.heldout_share * static_cast<double>(text.size()));
      const size_t line = text.find('\n', text.size() - std::min(text.size(), share));
      if (line != std::string::npos && line + 1 < text.size()) ranges.push_back({f, line + 1, text.size()});
    }
  }

  Corpus corpus;
  for (const Range& range : ranges) {
    const std::string text = files[range.file].text.substr(range.begin, range.end - range.begin);
    corpus.heldout.push_back({files[range.file].name + ": " + text.substr(0, text.find('\n')), text});
  }
  for (size_t f = 0; f < files.size(); ++f) {
    std::vector<Range> cuts;
    for (const Range& range : ranges) {
      if (range.file == f) cuts.push_back(range);
    }
    std::sort(cuts.begin(), cuts.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    cuts.push_back({f, files[f].text.size(), files[f].text.size()});
    size_t begin = 0;
    for (const Range& cut : cuts) {
      if (cut.begin > begin)
        corpus.train.push_back({files[f].name, files[f].text.substr(begin, cut.begin - begin)});
      begin = std::max(begin, cut.end);
    }
  }
  return corpus;
}

Windows::Windows(std::vector<int32_t> tokens, WindowOptions options)
    : tokens_(std::move(tokens)), options_(options) {
  if (options_.short_length <= 0) options_.short_length = options_.block;
  if (options_.block % options_.short_length != 0) {
    Fail("windows: the short length {} must divide the length {}", options_.short_length, options_.block);
  }
  blocks_ = static_cast<int64_t>(tokens_.size()) / options_.block - 1;
  if (blocks_ < 1) {
    Fail("training text: {} tokens are fewer than two windows of {}; give more text or a smaller context",
         tokens_.size(), options_.block);
  }
}

void Windows::SetEpoch(int64_t epoch) {
  epoch_ = epoch;
  Random random(options_.seed, static_cast<uint64_t>(epoch));
  const int64_t slack = static_cast<int64_t>(tokens_.size()) - blocks_ * options_.block;
  offset_ = static_cast<int64_t>(random.Below(static_cast<uint64_t>(slack + 1)));
  order_.resize(static_cast<size_t>(blocks_));
  std::iota(order_.begin(), order_.end(), 0);
  for (size_t i = order_.size() - 1; i > 0; --i) std::swap(order_[i], order_[random.Below(i + 1)]);
}

Batch Windows::At(Clock clock) {
  const int64_t length = clock.progress() < options_.short_until ? options_.short_length : options_.block;
  const int64_t each = options_.block / length;  // windows of a block
  Batch batch;
  batch.input = torch::empty({options_.blocks * each, length}, torch::kInt64);
  batch.target = torch::empty_like(batch.input);
  int64_t* input = batch.input.data_ptr<int64_t>();
  int64_t* target = batch.target.data_ptr<int64_t>();
  for (int64_t b = 0; b < options_.blocks; ++b) {
    const int64_t index = clock.step * options_.blocks + b;
    if (index / blocks_ != epoch_) SetEpoch(index / blocks_);
    const int64_t start = offset_ + options_.block * order_[static_cast<size_t>(index % blocks_)];
    for (int64_t i = 0; i < options_.block; ++i) {
      const int64_t token = tokens_[static_cast<size_t>(start + i)];
      *target++ = token;
      *input++ = i % length == 0 ? options_.start_token : tokens_[static_cast<size_t>(start + i - 1)];
    }
  }
  return batch;
}

}  // namespace lowbit::lab
