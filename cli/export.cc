#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/calibration_text.h"
#include "cli/command.h"
#include "cli/output_path.h"
#include "lowbit/model/gguf_export.h"
#include "lowbit/model/quantized_checkpoint.h"

namespace lowbit::cli {
namespace {

struct Options {
  std::string model, output, to;
};

int Run(const Options& o, const Common& common) {
  const Model model = OpenModel(o.model);
  std::filesystem::path file = o.output;
  if (o.to == "gguf") {
    CheckOutputFile(o.output, FilesOf(model));
    WriteGguf(model, o.output);
  } else {
    CheckOutputFolder(o.output, FilesOf(model));
    WriteGptqFolder(model, o.output, o.to == "gptq" ? GptqLayout::Version::kV1 : GptqLayout::Version::kV2);
    file /= "model.safetensors";
  }
  const size_t bytes = std::filesystem::file_size(file);
  if (common.json) {
    fmt::print("{}\n", nlohmann::json{{"output", o.output}, {"to", o.to}, {"bytes", bytes}}.dump(2));
  } else {
    fmt::print("{}: {}\n", o.output, Bytes(bytes));
  }
  return 0;
}

}  // namespace

Action AddExport(CLI::App& app, Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("MODEL", o->model, "Model to export")->required();
  app.add_option("-o,--output", o->output, "File to write; a folder for gptq")->required();
  app.add_option("--to", o->to, "Format of the file")
      ->required()
      ->check(CLI::IsMember({"gguf", "gptq", "gptq-v2"}));
  return [o, &common] { return Run(*o, common); };
}

}  // namespace lowbit::cli
