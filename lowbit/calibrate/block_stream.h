// Calibration activations on their way through a network, one block at a time: memory holds one block's
// weights and one set of hidden states, never the model.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lowbit/model/model.h"
#include "lowbit/runtime/executor.h"
#include "lowbit/text/tokenizer.h"

namespace lowbit {

// How calibration sequences are drawn from a text.
struct SampleOptions {
  int64_t samples = 128;
  int64_t length = 512;  // tokens each
  uint64_t seed = 0;
};

// `samples` runs of `length` tokens starting at random positions of the text (positions may repeat when the
// text is short). Throws Error when the text has fewer than `length` tokens.
std::vector<std::vector<int32_t>> DrawSamples(std::span<const int32_t> tokens, const SampleOptions& options,
                                              const std::string& where);

class BlockStream {
 public:
  // Embeds the sequences. They may differ in length.
  BlockStream(const Model& model, std::vector<std::vector<int32_t>> sequences, ThreadPool& pool);

  int blocks() const { return static_cast<int>(blocks_.size()); }
  const Cut& block(int index) const { return blocks_[index]; }
  Executor& executor() { return executor_; }
  int64_t sequences() const { return static_cast<int64_t>(sequences_.size()); }
  int64_t tokens() const { return tokens_; }

  // Loads the weights of a block as they are stored, in floats.
  void Load(int index);
  void Unload(int index);

  // Runs the current block's nodes up to and including `last_node` on every sequence; `observer` sees the
  // input of every Linear node, `x` (rows, in) of `sequences` whole sequences at a time.
  using Observer = std::function<void(int node, const float* x, int64_t rows, int64_t sequences)>;
  void Observe(int index, int last_node, const Observer& observer);
  // Runs the whole block with the matrices that are set now: its outputs are the next block's inputs.
  // `observer`, if not null, sees the inputs on the way.
  void Advance(int index, const Observer* observer = nullptr);
  // After the last Advance: loads and runs the nodes behind the blocks up to the head, and shows its input.
  // The head's own product is not made. Returns false when the network has no head.
  bool ObserveHead(const Observer& observer);

 private:
  // Where the result of a pass over the nodes [cut.first, last) goes.
  enum class Output { kDropped, kKept, kShown };
  void RunAll(const Cut& cut, int last, const Observer* observer, Output output);

  Executor executor_;
  std::shared_ptr<const Weights> weights_;
  std::vector<Cut> blocks_;
  Cut tail_{};  // the nodes behind the blocks
  std::vector<std::vector<int32_t>> sequences_;
  std::vector<int64_t> offset_;  // first row of each sequence in hidden_
  int64_t tokens_ = 0, width_ = 0;
  Buffer<float> hidden_;
};

}  // namespace lowbit
