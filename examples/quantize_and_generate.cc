// Loads a language model, quantizes one of its layers with GPTQ, and generates text with it: lowbit as a
// library.
//
//   quantize_and_generate MODEL CALIBRATION_TEXT PROMPT
//
// MODEL is what `lowbit` opens: a Hugging Face folder, a GGUF file, a lowbit file.
#include <lowbit/base/error.h>
#include <lowbit/calibrate/block_stream.h>
#include <lowbit/io/file.h>
#include <lowbit/method/layer.h>
#include <lowbit/model/model.h>
#include <lowbit/pipeline/generate.h>
#include <lowbit/quantize/gram.h>

#include <algorithm>
#include <cstdio>

namespace {

// The first linear layer of the network, an index into its nodes.
int FirstLinear(const lowbit::Graph& graph) {
  const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                  [](const lowbit::Node& n) { return n.op == lowbit::Op::kLinear; });
  if (found == graph.nodes.end()) lowbit::Fail("the network has no linear layer");
  return static_cast<int>(found - graph.nodes.begin());
}

int Run(const char* model_path, const char* text_path, const char* prompt) {
  lowbit::ThreadPool& pool = lowbit::ThreadPool::Global();
  const lowbit::Model model = lowbit::OpenModel(model_path);
  if (!model.tokenizer) lowbit::Fail("{}: brings no tokenizer", model_path);
  const int layer = FirstLinear(*model.graph);
  const std::string& name = model.graph->nodes[layer].name;

  // The model as it will run; its layers can be replaced.
  lowbit::LanguageModel running(model, pool);
  const lowbit::Matrix before = running.executor().GetMatrix(layer);
  const std::vector<float> weights = lowbit::ToFloats(before);

  // What does the layer see? Second moments of its inputs over some text.
  const std::vector<int32_t> text = model.tokenizer->Encode(lowbit::ReadFile(text_path));
  const lowbit::SampleOptions samples = {
      .samples = 8, .length = std::min<int64_t>(256, model.config.context), .seed = 1};
  lowbit::BlockStream stream(model, lowbit::DrawSamples(text, samples, text_path),
                             lowbit::StreamMemory::kOneStream, pool);
  stream.Load(0);
  lowbit::HessianAccumulator<float> hessian(before.cols, pool);
  stream.Observe(0, {&layer, 1}, [&](int, const float* x, int64_t rows, int64_t sequences) {
    hessian.Add({x, rows, before.cols}, sequences);
  });
  const int64_t tokens = hessian.tokens();
  const lowbit::Buffer<float> moments = hessian.Finish();

  const auto format = std::get<lowbit::PackedFormat>(lowbit::ParseFormat("int4-g64"));
  const lowbit::LayerInputs inputs = {
      .hessian = {moments.data(), before.cols, before.cols}, .importance = {}, .tokens = tokens};
  const lowbit::LayerResult result =
      lowbit::QuantizeLayer(name, {weights.data(), before.rows, before.cols}, format, {}, inputs, pool);
  fmt::print("{}: {} by {}, {:.3f} bits per weight, relative output error {:.2e}\n", name,
             result.report.format, result.report.method, result.report.bits, result.report.output_error);
  running.executor().SetMatrix(layer, lowbit::OwnPacked(result.matrix));

  lowbit::Generator generator(running, std::min<int64_t>(512, model.config.context));
  lowbit::GenerateOptions options;
  options.max_tokens = 40;
  options.sampler.temperature = 0;
  fmt::print("{}", prompt);
  generator.Run(model.tokenizer->Encode(prompt), options,
                [](std::string_view piece) { fmt::print("{}", piece); });
  fmt::print("\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: {} MODEL CALIBRATION_TEXT PROMPT\n", argv[0]);
    return 2;
  }
  try {
    return Run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
