#include "lowbit/runtime/executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/kernel/float_matmul.h"
#include "lowbit/kernel/matmul.h"
#include "lowbit/kernel/vector_ops.h"
#include "lowbit/network/rope.h"
#include "lowbit/runtime/matrix_views.h"

namespace lowbit {

// One node, or consecutive Linear nodes that read the same activation.
struct Executor::Step {
  int first = 0, last = 0;
};

// The weights of a node. Tied nodes share `matrix`.
struct Executor::Loaded {
  std::shared_ptr<const Matrix> matrix;
  std::optional<PackedMatrix> packed;  // a view of a packed matrix
  std::vector<float> vector;           // norm weight + offset, or bias

  void Set(std::shared_ptr<const Matrix> m) {
    matrix = std::move(m);
    packed.reset();
    if (matrix->packed()) packed.emplace(ViewPacked(*matrix));
  }
};

Executor::Executor(const Graph& graph, ThreadPool& pool, Arithmetic arithmetic)
    : graph_(graph), pool_(pool), arithmetic_(arithmetic) {
  Validate(graph);
  const int n = static_cast<int>(graph.nodes.size());
  for (int i = 0; i < n;) {
    int j = i + 1;
    const auto joins = [&](int k) {
      return graph.nodes[k].op == Op::kLinear && graph.nodes[k].in[0] == graph.nodes[i].in[0] &&
             graph.nodes[k].block == graph.nodes[i].block;
    };
    if (graph.nodes[i].op == Op::kLinear) {
      while (j < n && joins(j)) ++j;
    }
    steps_.push_back({i, j});
    i = j;
  }
  loaded_.resize(n);
  for (auto& loaded : loaded_) loaded = std::make_unique<Loaded>();
  rope_tables_.resize(graph.ropes.size());

  // Slots by liveness; an output never shares the slot of an input of its own step.
  std::vector<int> last_use(graph.values.size(), -1);
  for (int i = 0; i < n; ++i) {
    for (int v : graph.nodes[i].in) last_use[v] = i;
  }
  for (int v : graph.outputs) last_use[v] = n;
  slot_.assign(graph.values.size(), -1);
  std::vector<int> free;
  for (const Step& step : steps_) {
    for (int i = step.first; i < step.last; ++i) {
      for (int v : graph.nodes[i].out) {
        // The logits of all rows are never held: Multiply gives those somebody asks for.
        if (step.last == n && graph.nodes[i].op == Op::kLinear) continue;
        if (free.empty()) free.push_back(slots_++);
        slot_[v] = free.back();
        free.pop_back();
        slot_width_ = std::max(slot_width_, graph.values[v].shape.back());
      }
    }
    for (int i = step.first; i < step.last; ++i) {
      for (int v : graph.nodes[i].in) {
        if (graph.values[v].kind == ValueKind::kActivation && last_use[v] < step.last && slot_[v] >= 0 &&
            std::find(free.begin(), free.end(), slot_[v]) == free.end()) {
          free.push_back(slot_[v]);
        }
      }
    }
  }
}

Executor::~Executor() = default;

void Executor::Load(const Weights& weights, int first, int last) {
  std::map<std::string, std::shared_ptr<const Matrix>> known;
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    if (loaded_[i]->matrix) known[graph_.values[graph_.nodes[i].in[1]].name] = loaded_[i]->matrix;
  }
  for (int i = first; i < last; ++i) {
    const Node& node = graph_.nodes[i];
    if (node.op != Op::kEmbedding && node.op != Op::kLinear && node.op != Op::kRmsNorm) continue;
    const Value& weight = graph_.values[node.in[1]];
    CheckShape(weights, weight);
    if (node.op == Op::kRmsNorm) {
      loaded_[i]->vector = weights.Floats(weight.name);
      const auto offset = static_cast<float>(node.Real("offset"));
      for (float& x : loaded_[i]->vector) x += offset;
      continue;
    }
    std::shared_ptr<const Matrix>& matrix = known[weight.name];
    if (!matrix) matrix = std::make_shared<const Matrix>(weights.Load(weight.name));
    loaded_[i]->Set(matrix);
    if (node.in.size() == 3) {
      const std::string& bias = graph_.values[node.in[2]].name;
      loaded_[i]->vector = weights.Floats(bias);
      if (static_cast<int64_t>(loaded_[i]->vector.size()) != weight.shape[0]) {
        Fail("{}: tensor {} has {} entries, {} are needed", weights.Where(), bias, loaded_[i]->vector.size(),
             weight.shape[0]);
      }
    }
  }
}

void Executor::Unload(int first, int last) {
  for (int i = first; i < last; ++i) *loaded_[i] = Loaded();
}

const Matrix& Executor::GetMatrix(int node) const {
  if (!loaded_[node]->matrix) Fail("node {} has no matrix loaded", graph_.nodes[node].name);
  return *loaded_[node]->matrix;
}

void Executor::SetMatrix(int node, Matrix matrix) {
  loaded_[node]->Set(std::make_shared<const Matrix>(std::move(matrix)));
}

size_t Executor::WeightBytes() const {
  std::vector<const Matrix*> seen;
  size_t bytes = 0;
  for (const auto& loaded : loaded_) {
    bytes += loaded->vector.size() * sizeof(float);
    const Matrix* matrix = loaded->matrix.get();
    if (matrix == nullptr || std::find(seen.begin(), seen.end(), matrix) != seen.end()) continue;
    seen.push_back(matrix);
    bytes += matrix->size;
  }
  return bytes;
}

float* Executor::ValueData(int value) {
  if (slot_[value] < 0) Fail("value {} of the graph has no memory of its own", graph_.values[value].name);
  return memory_.data() + static_cast<size_t>(slot_[value] * slot_width_ * rows_);
}

void Executor::Reserve(int64_t rows) {
  if (rows <= rows_) return;
  rows_ = rows;
  memory_.Reserve(static_cast<size_t>(slots_ * slot_width_ * rows));
}

void Executor::Run(int first, int last, std::span<const Segment> segments, std::span<const int32_t> tokens) {
  int64_t rows = 0;
  for (const Segment& segment : segments) rows += segment.rows;
  Reserve(rows);
  PrepareRope(segments, rows);
  for (const Step& step : steps_) {
    if (step.last <= first || step.first >= last) continue;
    CheckInterrupt();
    const Node& node = graph_.nodes[step.first];
    const auto in = [&](int i) { return ValueData(node.in[i]); };
    const int64_t size = rows * graph_.values[node.out[0]].shape.back();
    switch (node.op) {
      case Op::kEmbedding:
        RunEmbedding(node, tokens, step.first);
        break;
      case Op::kLinear:
        // A range may begin or end inside a group of products: calibration replaces them stage by stage.
        RunLinears({std::max(step.first, first), std::min(step.last, last)}, rows);
        break;
      case Op::kRmsNorm:
        RunNorm(node, step.first, rows);
        break;
      case Op::kAttention:
        RunAttention(node, step.first, segments);
        break;
      case Op::kGlu:
        Glu(node.Text("activation") == "silu" ? GluActivation::kSilu : GluActivation::kGeluTanh, in(0), in(1),
            ValueData(node.out[0]), size, pool_);
        break;
      case Op::kAdd:
        Add(in(0), in(1), ValueData(node.out[0]), size, pool_);
        break;
    }
  }
}

void Executor::RunEmbedding(const Node& node, std::span<const int32_t> tokens, int index) {
  const Matrix& matrix = GetMatrix(index);
  const auto scale = static_cast<float>(node.Real("scale", 1));
  float* y = ValueData(node.out[0]);
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] < 0 || tokens[t] >= matrix.rows) {
      Fail("token {} at position {} is outside the vocabulary of {} entries", tokens[t], t, matrix.rows);
    }
    float* row = y + static_cast<int64_t>(t) * matrix.cols;
    DecodeRow(matrix, tokens[t], row);
    if (scale != 1) {
      for (int64_t c = 0; c < matrix.cols; ++c) row[c] *= scale;
    }
  }
}

void Executor::RunNorm(const Node& node, int index, int64_t rows) {
  const std::vector<float>& weight = loaded_[index]->vector;
  const auto run = static_cast<int64_t>(weight.size());
  const int64_t runs = rows * graph_.values[node.out[0]].shape.back() / run;
  const float* x = ValueData(node.in[0]);
  float* y = ValueData(node.out[0]);
  const auto eps = static_cast<float>(node.Real("eps"));
  const int64_t per_task = std::max<int64_t>(1, 8192 / run);
  pool_.Run((runs + per_task - 1) / per_task, [&](int64_t task, int) {
    for (int64_t r = task * per_task; r < std::min(runs, (task + 1) * per_task); ++r) {
      RmsNorm(x + r * run, weight.data(), y + r * run, run, eps);
    }
  });
}

void Executor::PrepareRope(std::span<const Segment> segments, int64_t rows) {
  std::vector<int64_t> key = {rows};
  for (const Segment& s : segments) key.insert(key.end(), {s.position, s.rows, s.total});
  for (size_t i = 0; i < graph_.ropes.size(); ++i) {
    RopeTable& table = rope_tables_[i];
    if (table.key == key) continue;
    const Rope& rope = graph_.ropes[i];
    const size_t half = rope.inverse_frequency.size();
    table.cos.resize(static_cast<size_t>(rows) * half);
    table.sin.resize(static_cast<size_t>(rows) * half);
    size_t row = 0;
    for (const Segment& segment : segments) {
      const int64_t total = segment.total > 0 ? segment.total : segment.position + segment.rows;
      const std::vector<double> frequency = InverseFrequencies(rope, total);
      for (int64_t r = 0; r < segment.rows; ++r, ++row) {
        for (size_t c = 0; c < half; ++c) {
          const double angle = static_cast<double>(segment.position + r) * frequency[c];
          table.cos[row * half + c] = static_cast<float>(std::cos(angle) * rope.attention_factor);
          table.sin[row * half + c] = static_cast<float>(std::sin(angle) * rope.attention_factor);
        }
      }
    }
    table.key = key;
  }
}

void Executor::RunAttention(const Node& node, int index, std::span<const Segment> segments) {
  const AttentionShape shape = ShapeOf(node);
  float* q = ValueData(node.in[0]);
  float* k = ValueData(node.in[1]);
  const float* v = ValueData(node.in[2]);
  float* y = ValueData(node.out[0]);
  const int64_t q_width = shape.heads * shape.head_size, kv_width = shape.kv_heads * shape.head_size;
  const int64_t rope = node.Int("rope", -1);
  int64_t row = 0;
  for (const Segment& s : segments) {
    if (rope >= 0) {
      const RopeTable& table = rope_tables_[rope];
      const auto half = static_cast<int64_t>(graph_.ropes[rope].inverse_frequency.size());
      pool_.Run((s.rows + 7) / 8, [&](int64_t task, int) {
        for (int64_t r = row + task * 8; r < std::min(row + s.rows, row + task * 8 + 8); ++r) {
          const float* cos = table.cos.data() + r * half;
          const float* sin = table.sin.data() + r * half;
          RotateHeads(q + r * q_width, shape.heads, shape.head_size, cos, sin, half);
          RotateHeads(k + r * kv_width, shape.kv_heads, shape.head_size, cos, sin, half);
        }
      });
    }
    s.cache->Append(index, s.position, k + row * kv_width, v + row * kv_width, s.rows);
    s.cache->Attend(index, s.position, q + row * q_width, y + row * q_width, s.rows, pool_);
    row += s.rows;
  }
}

void Executor::RunLinears(const Step& step, int64_t rows) {
  const float* x = ValueData(graph_.nodes[step.first].in[0]);
  // Packed matrices in stored column order share one rounding of x and one fork of the pool; the rest go
  // alone.
  const auto joins = [&](int i) {
    return loaded_[i]->packed && loaded_[i]->packed->in_bytes() && GetMatrix(i).order.empty() &&
           arithmetic_ == Arithmetic::kInt8;
  };
  jobs_.clear();
  for (int i = step.first; i < step.last; ++i) {
    const Matrix& matrix = GetMatrix(i);
    float* y = ValueData(graph_.nodes[i].out[0]);
    if (joins(i)) {
      jobs_.push_back({&*loaded_[i]->packed, y, matrix.rows});
    } else {
      Multiply(i, x, rows, y);
    }
  }
  if (jobs_.empty()) return;
  const int64_t width = jobs_[0].w->cols;
  quantized_.Quantize(x, rows, width, width, pool_);
  MatMulMany(jobs_, quantized_, pool_);
  for (int i = step.first; i < step.last; ++i) {
    const std::vector<float>& bias = loaded_[i]->vector;
    const Matrix& matrix = GetMatrix(i);
    if (!bias.empty() && joins(i)) AddBias(ValueData(graph_.nodes[i].out[0]), bias.data(), rows, matrix.rows);
  }
}

void Executor::Multiply(int node, const float* x, int64_t rows, float* y) {
  const Matrix& matrix = GetMatrix(node);
  if (!matrix.order.empty()) {
    gathered_.Reserve(static_cast<size_t>(rows * matrix.cols));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < matrix.cols; ++c)
        gathered_[r * matrix.cols + c] = x[r * matrix.cols + matrix.order[c]];
    }
    x = gathered_.data();
  }
  if (!matrix.packed()) {
    MatMul(ViewFloat(matrix), x, rows, matrix.cols, y, matrix.rows, pool_);
  } else if (arithmetic_ == Arithmetic::kFloat || !loaded_[node]->packed->in_bytes()) {
    MatMulF32(*loaded_[node]->packed, x, rows, matrix.cols, y, matrix.rows, pool_);
  } else {
    quantized_.Quantize(x, rows, matrix.cols, matrix.cols, pool_);
    MatMul(*loaded_[node]->packed, quantized_, y, matrix.rows, pool_);
  }
  if (!loaded_[node]->vector.empty()) AddBias(y, loaded_[node]->vector.data(), rows, matrix.rows);
}

}  // namespace lowbit
