// The weights of a graph as libtorch tensors, and their ways to and from the engine.
#pragma once

#include <map>
#include <string>

#include "lab/torch.h"
#include "lowbit/graph/graph.h"
#include "lowbit/io/tensor_source.h"
#include "lowbit/model/weights.h"

namespace lowbit::lab {

// Weights by their names in the graph. Leaves of autograd when they are trained.
using Weights = std::map<std::string, torch::Tensor>;

// Fresh f32 weights for every weight value of the graph: vectors (norm weights) one minus the node's offset,
// matrices normal with standard deviation `deviation`; matrices that end a residual branch (o_proj,
// down_proj) are divided by sqrt(2 * blocks) (GPT-2). Drawn from the counter-based generator: a function of
// the seed alone.
Weights InitialWeights(const Graph& graph, uint64_t seed, double deviation = 0.02);

// The weights of a model in f32, however its file stores them. Throws Error naming file and tensor when one
// is missing or has another shape than the graph says.
Weights ReadWeights(const Graph& graph, const lowbit::Weights& model);

// Copies as the engine and its writers take them. `type` is F32, F16 or BF16, rounded to nearest even.
MemoryTensors ToTensors(const Weights& weights, DType type);

}  // namespace lowbit::lab
