// The one training loop. It owns time, the order of the data, checkpoints, the log and the user's wish to
// stop; what a step does belongs to the Objective (supervised, adversarial, bilevel ...).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "lab/torch.h"

namespace lowbit::lab {

// Where the run stands: `step` of `steps` are done.
struct Clock {
  int64_t step = 0, steps = 1;
  double progress() const { return static_cast<double>(step) / static_cast<double>(steps); }
};

struct Batch {
  torch::Tensor input, target;
};

// Named numbers for the log: "loss" and what else the objective reports.
using StepReport = std::map<std::string, double>;

// What a checkpoint holds: tensors by name.
using State = std::map<std::string, torch::Tensor>;

struct Objective {
  virtual ~Objective() = default;
  virtual StepReport Step(const Batch& batch, Clock clock) = 0;
  // Measures on held-out data, for the log.
  virtual StepReport Evaluate() { return {}; }
  // Everything that the next step depends on besides the batch and the clock.
  virtual State Save() const = 0;
  virtual void Load(const State& state) = 0;
};

// A batch is a pure function of the clock, so a resumed run sees what an uninterrupted one would have seen.
struct DataSource {
  virtual ~DataSource() = default;
  virtual Batch At(Clock clock) = 0;
};

struct LoopOptions {
  int64_t steps = 1000;
  std::filesystem::path checkpoint;  // file; empty: none is written
  std::filesystem::path log;         // JSON lines, one every `log_every` steps; empty: none
  bool resume = false;               // go on from `checkpoint` when it exists
  double checkpoint_seconds = 120;   // wall time between checkpoints
  int64_t log_every = 10;            // the loss in a line is the mean over its steps
  int64_t evaluate_every = 0;        // 0: only after the last step
  int64_t stop_after = 0;            // stop with a checkpoint after this step, as Ctrl-C would; 0: never
};

// Runs the objective from step 0 (or from the checkpoint) to `steps`. A checkpoint is written atomically
// every `checkpoint_seconds`, after the last step, and on Ctrl-C; an interrupted and resumed run ends
// bit-identical to an uninterrupted one, its log included. Throws Interrupted after Ctrl-C, and Error when a
// checkpoint does not fit.
void Loop(Objective& objective, DataSource& data, const LoopOptions& options);

// One checkpoint file. Write goes through a temporary name. Read throws Error naming the file.
void WriteCheckpoint(const std::filesystem::path& path, const State& state);
State ReadCheckpoint(const std::filesystem::path& path);

}  // namespace lowbit::lab
