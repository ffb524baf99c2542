#include "lowbit/calibrate/cache_sample.h"

#include "lowbit/base/error.h"
#include "lowbit/runtime/executor.h"

namespace lowbit {

CacheSample SampleCache(const Model& model, std::span<const int32_t> tokens, ThreadPool& pool) {
  const auto rows = static_cast<int64_t>(tokens.size());
  if (rows == 0) Fail("{}: no tokens to make keys and values of", model.path.string());
  if (rows > model.config.context)
    Fail("{}: {} tokens exceed the context of {}", model.path.string(), rows, model.config.context);
  const Graph& graph = *model.graph;
  Executor executor(graph, pool, Arithmetic::kFloat);
  executor.LoadAll(*model.weights);
  executor.Reserve(rows);
  KvCache cache(graph, rows, CacheType::kF32);
  const Segment segment{&cache, 0, rows, 0};
  CacheSample sample;
  int first = 0;
  for (int i = 0; i < static_cast<int>(graph.nodes.size()); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op != Op::kAttention) continue;
    executor.Run(first, i + 1, {&segment, 1}, tokens);
    first = i + 1;
    const AttentionShape shape = ShapeOf(node);
    if (sample.head_size != 0 && sample.head_size != shape.head_size)
      Fail("{}: heads of {} and of {}", model.path.string(), sample.head_size, shape.head_size);
    sample.head_size = shape.head_size;
    const int64_t count = rows * shape.kv_heads * shape.head_size;
    const float *k = executor.ValueData(node.in[1]), *v = executor.ValueData(node.in[2]);
    sample.keys.insert(sample.keys.end(), k, k + count);
    sample.values.insert(sample.values.end(), v, v + count);
  }
  return sample;
}

}  // namespace lowbit
