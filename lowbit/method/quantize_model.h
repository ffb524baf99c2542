// A whole language model through one method: which matrix gets which format (the plan), calibration block by
// block, and the file that comes out. Finished blocks are kept beside the output, so that an interrupted run
// resumes.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lowbit/calibrate/block_stream.h"
#include "lowbit/calibrate/imatrix.h"
#include "lowbit/method/layer.h"
#include "lowbit/model/bundle.h"
#include "lowbit/model/ledger.h"

namespace lowbit {

struct PlanOptions {
  Format format = PackedFormat{4, 64};     // the linear layers of the blocks
  Format embedding = PackedFormat{8, 64};  // embedding and head
  std::vector<std::pair<std::string, std::string>>
      overrides;  // --tensor REGEX=FORMAT|skip; the last match wins
};

// The format of every weight matrix, by tensor name; "skip" keeps the type of the source. Throws UsageError
// when a regular expression is wrong or matches nothing.
std::map<std::string, Format> MakePlan(const Model& model, const PlanOptions& options);

struct QuantizeOptions {
  PlanOptions plan;
  LayerOptions layer;
  bool true_sequential = true;   // {q,k,v}, {o}, {gate,up}, {down}: each sees the quantized earlier ones
  bool quantized_inputs = true;  // block k + 1 is calibrated on the outputs of the quantized blocks
  // Method::kImatrix: importances from a file, used instead of calibration text. Embedding and head are
  // weighted too where the file knows them.
  std::optional<ImportanceTable> importance;
  std::string command;  // for the history
};

// The anonymous memory that quantizing stays below; pages of mapped files come on top and are given back
// block by block.
struct MemoryBound {
  size_t block = 0;     // the largest block's weights in f32
  size_t hessians = 0;  // the statistics of all its inputs
  size_t streams = 0;   // the calibration activations kept between passes: the residual and one more
  size_t fixed = size_t{1} << 30;  // everything else: one matrix at work, packed copies, the program
  size_t total() const { return block + hessians + streams + fixed; }
};
MemoryBound MemoryBoundOf(const Model& model, const QuantizeOptions& options, int64_t calibration_tokens);

// The bits of the model that quantizing would write, without reading a weight.
Ledger PlannedLedger(const Model& model, const QuantizeOptions& options);

struct QuantizeReport {
  std::vector<LayerReport> layers;
  double seconds_forward = 0, seconds_statistics = 0, seconds_solve = 0, seconds_total = 0;
  int resumed_blocks = 0;
  size_t file_bytes = 0;
  size_t memory_peak = 0;  // anonymous bytes
  MemoryBound memory_bound;
};

// Where finished blocks are kept until the file is whole: "<output>.work".
std::filesystem::path WorkFolder(const std::filesystem::path& output);

// `calibration` may be empty for methods that need none. Throws Error naming the tensors that `importance`
// lacks. Writes `output` and returns what happened; on an
// interruption or a failure the finished blocks stay in WorkFolder(output) and the next call with the same
// options goes on from there; without any the folder is removed. Throws Error naming file, tensor and place
// of a weight that is NaN or infinite.
QuantizeReport QuantizeModel(const Model& model, const std::filesystem::path& output,
                             const QuantizeOptions& options, std::vector<std::vector<int32_t>> calibration,
                             ThreadPool& pool);

}  // namespace lowbit
