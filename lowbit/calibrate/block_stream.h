// Calibration activations on their way through a network, one block at a time: memory holds one block's
// weights and one set of hidden states, never the model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
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

// How much of a block is run again for its next stage.
enum class StreamMemory : uint8_t {
  kOneStream,   // keeps the block's input alone: every pass runs the block from its start
  kTwoStreams,  // also keeps what was alive at the last stage where that fits: a stage is run from there
};

class BlockStream {
 public:
  // Embeds the sequences. They may differ in length.
  BlockStream(const Model& model, std::vector<std::vector<int32_t>> sequences, StreamMemory memory,
              ThreadPool& pool);

  int blocks() const { return static_cast<int>(blocks_.size()); }
  const Cut& block(int index) const { return blocks_[index]; }
  Executor& executor() { return executor_; }
  int64_t sequences() const { return static_cast<int64_t>(sequences_.size()); }
  int64_t tokens() const { return tokens_; }
  // Bytes that a stream of `tokens` tokens keeps between passes.
  static size_t KeptBytes(const Model& model, int64_t tokens, StreamMemory memory);

  // Loads the weights of a block as they are stored, in floats.
  void Load(int index);
  void Unload(int index);

  // `observer` sees the input of the Linear nodes `nodes` (ascending), `x` (rows, in) of `sequences` whole
  // sequences at a time. The matrices of the nodes before nodes[0] are final: later passes may start after
  // them.
  using Observer = std::function<void(int node, const float* x, int64_t rows, int64_t sequences)>;
  void Observe(int index, std::span<const int> nodes, const Observer& observer);
  // Runs the rest of the block with the matrices that are set now: its outputs are the next block's inputs.
  // `observer` sees the inputs of `nodes` on the way.
  void Advance(int index, std::span<const int> nodes = {}, const Observer& observer = {});
  // After the last Advance: loads and runs the nodes behind the blocks up to the head, and shows its input.
  // The head's own product is not made. Returns false when the network has no head.
  bool ObserveHead(const Observer& observer);

 private:
  struct Batch {
    size_t first, last;  // sequences
    int64_t row, rows;   // tokens
  };

  // Runs every batch from where the stream stands to each of `nodes`, whose input the observer sees, and to
  // keep_at (>= 0) on the way or at the end: there it stands afterwards.
  void Pass(const Cut& range, int keep_at, std::span<const int> nodes, const Observer& observer);
  // The latest node in (position_, node] at which what is alive fits the room of a token; -1: none.
  int KeepPoint(int node) const;
  int64_t WidthAt(int node) const;

  Executor executor_;
  std::shared_ptr<const Weights> weights_;
  std::vector<Cut> blocks_;
  Cut tail_{};  // the nodes behind the blocks
  std::vector<std::vector<int32_t>> sequences_;
  std::vector<Batch> batches_;
  int64_t tokens_ = 0;
  int position_ = 0;        // the nodes before it have been run
  int64_t token_room_ = 0;  // floats kept for a token
  // A batch's values alive at position_, one after the other, each (rows, width); batch b starts at
  // batches_[b].row * token_room_.
  Buffer<float> kept_;
};

}  // namespace lowbit
