// Importance matrices as llama.cpp stores them: for each weight matrix the sum of squares of every input over
// the tokens of a calibration text. Two forms are read and written, little-endian:
//
//   GGUF    general.type = "imatrix"; imatrix.datasets (strings), imatrix.chunk_count, imatrix.chunk_size
//   (u32);
//           for each matrix of C inputs two f32 tensors: NAME.in_sum2 (1, C) = sum over tokens of x^2, and
//           NAME.counts (1, 1) = the number of tokens
//   legacy  no magic; i32 entries, then for each: i32 length, NAME, i32 calls, i32 C, C floats =
//           calls * mean over tokens of x^2; at the end, or absent: i32 calls, i32 length, name of the text
//
// NAME is that of the matrix in a GGUF model ("blk.0.attn_q.weight"). A call is a chunk of tokens, whose size
// the legacy form does not say. Source: tools/imatrix/imatrix.cpp and common/imatrix-loader.cpp of llama.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace lowbit {

struct ImatrixEntry {
  std::vector<double> sum;  // (C) sum of x^2 over tokens, finite and not negative
  double tokens = 0;        // 0: nothing was seen

  // sum / tokens (C). Throws Error when no token was seen.
  std::vector<float> Mean() const;
};

struct Imatrix {
  static constexpr int64_t kDefaultChunk = 512;  // llama.cpp's, and what a legacy file is taken to have

  std::map<std::string, ImatrixEntry> entries;  // by NAME
  std::vector<std::string> datasets;            // the texts, as given
  int64_t chunk_size = kDefaultChunk;           // tokens

  // Whole chunks in the longest entry.
  int64_t chunks() const;
  // Adds the sums of another file; entries of either are kept. Throws Error naming the entry when its
  // columns differ; `where` names the other file.
  void Add(const Imatrix& other, const std::string& where);
};

enum class ImatrixForm : uint8_t { kGguf, kLegacy };

// The form is told from the content. Throws Error naming the file and the entry: not an importance matrix, a
// truncated file, a NaN or negative sum, sums without counts, entries of several matrices (a mixture of
// experts, which no family of lowbit has).
Imatrix ReadImatrix(const std::filesystem::path& path);
// A file in memory.
Imatrix ParseImatrix(std::span<const std::byte> bytes, const std::string& where);

// Written atomically. Sums and counts are rounded to f32; the legacy form counts whole calls and keeps the
// last dataset only. Entries without tokens are left out of the legacy form, which cannot express them.
void WriteImatrix(const std::filesystem::path& path, const Imatrix& imatrix, ImatrixForm form);

}  // namespace lowbit
