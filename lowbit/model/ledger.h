// Where the bits of a model are: computed from what is stored, side information and padding included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/model/model.h"

namespace lowbit {

struct LedgerEntry {
  std::string name, stored_as;
  std::vector<int64_t> shape;
  int64_t weights = 0;
  size_t bytes = 0;
  bool linear = false;  // a matrix of a block
  double bits() const { return static_cast<double>(bytes) * 8 / static_cast<double>(weights); }
};

struct Ledger {
  std::vector<LedgerEntry> entries;  // in the order of the graph
  int64_t weights = 0, linear_weights = 0;
  size_t bytes = 0, linear_bytes = 0;
  size_t file_bytes = 0;  // of the file or files the model was opened from

  double bits_per_weight() const { return static_cast<double>(bytes) * 8 / static_cast<double>(weights); }
  double bits_per_weight_linear() const {
    return linear_weights == 0 ? 0
                               : static_cast<double>(linear_bytes) * 8 / static_cast<double>(linear_weights);
  }
};

Ledger LedgerOf(const Model& model);

}  // namespace lowbit
