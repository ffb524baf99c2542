#include "lab/train/loop.h"

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lowbit/base/error.h"
#include "lowbit/base/progress.h"
#include "lowbit/io/file.h"

namespace lowbit::lab {
namespace {

// Sums of the reports since the last log line.
struct Mean {
  StepReport sums;
  int64_t count = 0;

  void Add(const StepReport& report) {
    for (const auto& [name, value] : report) sums[name] += value;
    ++count;
  }
  StepReport Take() {
    StepReport mean = sums;
    for (auto& [name, value] : mean) value /= static_cast<double>(count);
    sums.clear();
    count = 0;
    return mean;
  }
};

class Log {
 public:
  // Keeps the lines up to `step`: those after it were written by the part of a run that was lost.
  Log(const std::filesystem::path& path, int64_t step) : path_(path) {
    if (path.empty()) return;
    std::string kept;
    if (step > 0 && std::filesystem::exists(path)) {
      std::istringstream lines(ReadFile(path));
      for (std::string line; std::getline(lines, line);) {
        const auto entry = nlohmann::json::parse(line, nullptr, false);
        if (entry.is_object() && entry.contains("step") && entry["step"].get<int64_t>() <= step)
          kept += line + "\n";
      }
    }
    WriteFile(path, kept);
    stream_.open(path, std::ios::app);
    if (!stream_) Fail("{}: cannot write the log", path.string());
  }

  void Write(int64_t step, const StepReport& report) {
    if (!stream_.is_open()) return;
    nlohmann::ordered_json line = {{"step", step}};
    for (const auto& [name, value] : report) line[name] = std::stod(fmt::format("{:.6g}", value));
    stream_ << line.dump() << std::endl;
    if (!stream_) Fail("{}: cannot write the log", path_.string());
  }

 private:
  std::filesystem::path path_;
  std::ofstream stream_;
};

State Everything(const Objective& objective, int64_t step, const Mean& mean) {
  State state;
  for (auto& [name, tensor] : objective.Save()) state.emplace("objective." + name, tensor);
  state.emplace("loop.step", torch::tensor(step, torch::kInt64));
  state.emplace("loop.count", torch::tensor(mean.count, torch::kInt64));
  for (const auto& [name, value] : mean.sums)
    state.emplace("mean." + name, torch::tensor(value, torch::kFloat64));
  return state;
}

int64_t Restore(Objective& objective, const std::filesystem::path& path, Mean& mean) {
  const State state = ReadCheckpoint(path);
  State inner;
  for (const auto& [name, tensor] : state) {
    if (name.starts_with("objective.")) inner.emplace(name.substr(10), tensor);
    if (name.starts_with("mean.")) mean.sums[name.substr(5)] = tensor.item<double>();
  }
  if (!state.contains("loop.step") || !state.contains("loop.count")) Fail("{}: holds no step", path.string());
  objective.Load(inner);
  mean.count = state.at("loop.count").item<int64_t>();
  return state.at("loop.step").item<int64_t>();
}

}  // namespace

void Loop(Objective& objective, DataSource& data, const LoopOptions& options) {
  using Time = std::chrono::steady_clock;
  Mean mean;
  int64_t step = 0;
  if (options.resume && std::filesystem::exists(options.checkpoint)) {
    step = Restore(objective, options.checkpoint, mean);
    if (step > options.steps) {
      Fail("{}: the checkpoint is at step {}, past the {} steps asked for", options.checkpoint.string(), step,
           options.steps);
    }
  }
  Log log(options.log, step);
  const auto save = [&] {
    if (!options.checkpoint.empty()) WriteCheckpoint(options.checkpoint, Everything(objective, step, mean));
  };
  Progress progress("train", options.steps, "steps");
  auto saved = Time::now();
  std::string note;
  while (step < options.steps) {
    if (InterruptRequested() || (options.stop_after > 0 && step >= options.stop_after)) {
      save();
      throw Interrupted();
    }
    const Clock clock{step, options.steps};
    mean.Add(objective.Step(data.At(clock), clock));
    ++step;
    const bool last = step == options.steps;
    if (step % options.log_every == 0 || last) {
      StepReport report = mean.Take();
      if (last || (options.evaluate_every > 0 && step % options.evaluate_every == 0))
        report.merge(objective.Evaluate());
      log.Write(step, report);
      note = fmt::format("loss {:.4f}", report["loss"]);
    }
    if (std::chrono::duration<double>(Time::now() - saved).count() >= options.checkpoint_seconds || last) {
      save();
      saved = Time::now();
    }
    if (!InterruptRequested()) progress.Update(step, note);
  }
}

}  // namespace lowbit::lab
