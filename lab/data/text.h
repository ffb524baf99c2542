// Texts for language-model training: files -> documents -> one stream of tokens -> batches of windows, with
// whole chapters held out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lab/train/loop.h"

namespace lowbit::lab {

// A passage kept out of training: from the line that begins with `from` up to the next line that begins with
// `to`.
struct Passage {
  std::string from, to;
};

struct CorpusOptions {
  std::filesystem::path folder;
  std::string extension =
      ".txt";  // files of the folder itself, not of folders inside; in order of their names
  std::vector<Passage> heldout;
  double heldout_share =
      0.02;  // used when no file has any of the passages: the end of each file, from a line start
};

struct Document {
  std::string name;  // the file; for held-out passages with their first line: "file: CHAPTER X"
  std::string text;  // UTF-8, LF line ends
};

struct Corpus {
  std::vector<Document> train;    // a file split by held-out passages gives several
  std::vector<Document> heldout;  // in the order of the options
};

// Throws Error when the folder has no such file, a file is not UTF-8, or only some of the passages are found;
// and when the beginning of a passage is found twice.
Corpus LoadCorpus(const CorpusOptions& options);

struct WindowOptions {
  int64_t block = 512;       // tokens of a block; blocks are shuffled
  int64_t blocks = 16;       // of a step
  int64_t short_length = 0;  // window length (divides block) while progress < short_until; 0: always `block`
  double short_until = 0;
  int64_t start_token = 1;  // stands before every window
  uint64_t seed = 0;
};

// Windows of a token stream. An epoch cuts the stream into blocks from a random offset and visits them in
// random order. Batch: input (n, length) = start token and all but the last token of the window; target (n,
// length) = the window.
class Windows : public DataSource {
 public:
  // Throws Error when the stream is shorter than two blocks.
  Windows(std::vector<int32_t> tokens, WindowOptions options);
  Batch At(Clock clock) override;
  int64_t blocks_per_epoch() const { return blocks_; }

 private:
  void SetEpoch(int64_t epoch);

  std::vector<int32_t> tokens_;
  WindowOptions options_;
  int64_t blocks_ = 0, epoch_ = -1, offset_ = 0;
  std::vector<int32_t> order_;
};

}  // namespace lowbit::lab
