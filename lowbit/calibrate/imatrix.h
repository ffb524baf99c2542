// Importance matrices of a model: gathered from a text, or taken from a file (io/imatrix_file.h) and matched
// with the model's tensors.
//
// The importance of input c of a matrix is the mean of x_c^2 over the tokens of a text that ran through the
// float model. Files call matrices by their GGUF names. GGUF permutes rows of q and k in the llama family,
// never columns, so the columns of a file are ours.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "lowbit/base/thread_pool.h"
#include "lowbit/io/imatrix_file.h"
#include "lowbit/model/model.h"

namespace lowbit {

// Consecutive runs of `length` tokens, at most `limit` of them (0: all); what is left at the end is dropped,
// as llama.cpp does. The first token of each run is replaced by `start`, the start token of a tokenizer that
// adds one (-1: it stays). Throws Error naming `where` when there is not one whole run.
std::vector<std::vector<int32_t>> CutIntoChunks(std::span<const int32_t> tokens, int64_t length,
                                                int64_t limit, int32_t start, const std::string& where);

enum class HeadInputs : uint8_t { kLeaveOut, kGather };

// Runs the float model over the sequences, all blocks in one pass, and sums the squares of the inputs of
// every matrix in the blocks; with kGather also those of the head (under the name of the tied embedding where
// the head has no matrix of its own). Memory: one block and the hidden states of all sequences.
Imatrix GatherImatrix(const Model& model, std::vector<std::vector<int32_t>> sequences, HeadInputs head,
                      ThreadPool& pool);

struct Importance {
  std::vector<float> mean;  // (C) mean square of each input
  int64_t tokens = 0;
};

struct ImportanceTable {
  std::string where;                          // the file, for messages
  std::map<std::string, Importance> tensors;  // by the model's own names
};

// The entries that belong to the model's matrices; others are passed over. Throws Error naming `where` and
// the entry when its length differs from the matrix' columns, or when no entry fits at all.
ImportanceTable MatchImatrix(const Model& model, const Imatrix& imatrix, const std::string& where);

}  // namespace lowbit
