// What the parts of `lowbit index` share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "lowbit/index/index_parts.h"

namespace lowbit::cli {

struct IndexArguments {
  std::string index;               // the index read or changed
  std::vector<std::string> parts;  // search, eval: indexes searched as one
  std::string base, queries, ids;  // files
  std::string spec = "Trellis4", metric = "l2", like, output, truth, filter, except;
  std::vector<std::string> others;  // merge
  std::vector<int64_t> id;
  bool limits = false;
  int64_t first_id = -1, limit = 0, sample = 0, k = 10, eval_k = 100, refine = 4;
  std::vector<int64_t> nprobe;
  std::vector<uint32_t> part = {0, 1};
  double radius = 0;
  bool in_range = false;
  uint64_t seed = 1;
};

int RunIndexSearch(const IndexArguments& arguments, const Common& common);
int RunIndexEval(const IndexArguments& arguments, const Common& common);

// One id a line, or a NumPy array of integers (.npy).
std::vector<int64_t> ReadIdFile(const std::string& path);

// Bytes of an index file by what they hold.
struct IndexBytes {
  uint64_t codes = 0, fine = 0, ids = 0, learnt = 0, other = 0, file = 0;
};
IndexBytes BytesOf(const VectorIndex& index);
// 8 bytes / (vectors d), of a VectorIndex or of IndexParts.
template <typename Index>
double BitsPerDimension(const Index& index, uint64_t bytes) {
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(index.size() * index.dim());
}

// Runs `body`; an Error about a vector, which the file's reader numbered, names the file.
void NamingVectors(const std::string& path, const std::function<void()>& body);

}  // namespace lowbit::cli
