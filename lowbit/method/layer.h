// One linear layer through one method: weights and the statistics of its inputs in, codes and errors out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/format/format.h"
#include "lowbit/method/gptq.h"

namespace lowbit {

enum class Method : uint8_t {
  kRtn,      // round to nearest, min-max range
  kMse,      // round to nearest, range shrunk to the least squared error
  kImatrix,  // round to nearest, range shrunk to the least squared error weighted by the mean square of each
             // input
  kGptq,     // column by column, each rounding error spread over the columns to come
};

// "rtn", "mse", "imatrix", "gptq". Throws UsageError naming the known ones.
Method ParseMethod(const std::string& name);
std::string NameOf(Method method);

enum class StatisticsNeeded : uint8_t { kNone, kImportance, kHessian };
StatisticsNeeded NeedsOf(Method method);

struct LayerOptions {
  Method method = Method::kGptq;
  ColumnOrder order = ColumnOrder::kGroupAware;
  double damping = 0.01;
  bool search = true;  // GPTQ: shrink search of the range on live weights, weighted by diag(H)
};

// What calibration knows about the inputs of a layer with C columns; empty parts were not gathered.
struct LayerInputs {
  MatrixView<const float> hessian;  // (C, C), gram.h
  std::vector<float> importance;    // (C) mean square
  int64_t tokens = 0;
};

struct LayerReport {
  std::string name, format, method;
  int64_t rows = 0, cols = 0, tokens = 0;
  double bits = 0;           // stored bits per weight, side information and padding included
  double weight_error = 0;   // |W - Q|^2 / |W|^2
  double output_error = -1;  // tr(D H D^T) / tr(W H W^T), D = W - Q; -1: no Hessian
  double damping = 0;
  std::string note;  // why the method fell back, dead columns
  double seconds = 0;
};

struct LayerResult {
  QuantizedMatrix matrix;
  LayerReport report;
};

// Quantizes w (rows, cols) to `format`. Throws Error naming the layer when a weight is NaN or infinite; a
// Hessian that cannot be factored is no error: the layer is rounded and the report says so.
LayerResult QuantizeLayer(const std::string& name, MatrixView<const float> w, const PackedFormat& format,
                          const LayerOptions& options, const LayerInputs& inputs, ThreadPool& pool);

}  // namespace lowbit
