// Runs a graph: the plan (which activations share memory, which matrix products share an input) is made once,
// so that nothing is looked up or allocated for a token.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "lowbit/base/buffer.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/graph/graph.h"
#include "lowbit/kernel/activations.h"
#include "lowbit/kernel/matmul.h"
#include "lowbit/model/weights.h"
#include "lowbit/runtime/kv_cache.h"

namespace lowbit {

// How packed matrices are multiplied.
enum class Arithmetic : uint8_t {
  kInt8,   // activations rounded to int8 in groups of kActivationGroup columns, integer dot products
  kFloat,  // f32 activations, weights decoded to f32: the reference for what int8 activations cost
};

// Rows of one sequence in a batch: `rows` tokens at positions position, position + 1, ... of `cache`. `total`
// is the length the sequence will reach in this pass (it matters to dynamic and longrope only); 0 means
// position + rows.
struct Segment {
  KvCache* cache = nullptr;
  int64_t position = 0, rows = 0, total = 0;
};

class Executor {
 public:
  // `graph` must outlive the executor. Throws Error when it is not valid.
  Executor(const Graph& graph, ThreadPool& pool, Arithmetic arithmetic = Arithmetic::kInt8);
  ~Executor();

  const Graph& graph() const { return graph_; }

  // Loads the weights of the nodes [first, last); a tied matrix is loaded once.
  void Load(const Weights& weights, int first, int last);
  void LoadAll(const Weights& weights) { Load(weights, 0, static_cast<int>(graph_.nodes.size())); }
  void Unload(int first, int last);
  // The matrix of a Linear or Embedding node; replacing it is how a quantized layer takes effect.
  const Matrix& GetMatrix(int node) const;
  void SetMatrix(int node, Matrix matrix);

  // Runs the nodes [first, last) on the rows of all segments, one after the other. `tokens` has one id a row
  // and is read by Embedding only. Activations that enter the range must be in Value(); those that leave it
  // stay there.
  void Run(int first, int last, std::span<const Segment> segments, std::span<const int32_t> tokens);

  // Memory of an activation, (rows, width) row-major; valid between the runs that make and use it. `rows`
  // must be given before the first run of a batch.
  float* ValueData(int value);
  void Reserve(int64_t rows);

  // y (rows, out) of the Linear node `node` for `rows` rows of input at x: the last product of a language
  // model is asked for the rows somebody reads, not for all.
  void Multiply(int node, const float* x, int64_t rows, float* y);

  // Bytes of all matrices and vectors loaded, and of those a decoded token reads.
  size_t WeightBytes() const;

 private:
  struct Step;
  struct Loaded;

  void RunLinears(const Step& step, int64_t rows);
  void RunEmbedding(const Node& node, std::span<const int32_t> tokens, int index);
  void RunNorm(const Node& node, int index, int64_t rows);
  void RunAttention(const Node& node, int index, std::span<const Segment> segments);
  void PrepareRope(std::span<const Segment> segments, int64_t rows);

  const Graph& graph_;
  ThreadPool& pool_;
  Arithmetic arithmetic_;
  std::vector<Step> steps_;
  std::vector<int> slot_;  // by value; -1: a weight
  int slots_ = 0;
  int64_t slot_width_ = 0, rows_ = 0;
  Buffer<float> memory_, gathered_;
  std::vector<std::unique_ptr<Loaded>> loaded_;  // by node
  QuantizedActivations quantized_;
  std::vector<MatMulJob> jobs_;
  struct RopeTable {
    std::vector<float> cos, sin;  // (rows, rotary/2)
    // What the table was made for: the same positions are asked for once a layer.
    std::vector<int64_t> key;
  };
  std::vector<RopeTable> rope_tables_;
};

}  // namespace lowbit
