#include <sstream>

#include "lab/train/loop.h"
#include "lowbit/base/error.h"
#include "lowbit/io/file.h"

namespace lowbit::lab {

// A libtorch archive of a list: first the names, zero-separated, as bytes; then the tensors in that order.
void WriteCheckpoint(const std::filesystem::path& path, const State& state) {
  std::string names;
  std::vector<torch::Tensor> list(1);
  for (const auto& [name, tensor] : state) {
    names += name + '\0';
    list.push_back(tensor.detach().to(torch::kCPU));
  }
  list[0] = torch::from_blob(names.data(), {static_cast<int64_t>(names.size())}, torch::kUInt8);
  std::ostringstream stream;
  torch::save(list, stream);
  WriteFile(path, stream.str());
}

State ReadCheckpoint(const std::filesystem::path& path) {
  std::vector<torch::Tensor> list;
  try {
    std::istringstream stream(ReadFile(path));
    torch::load(list, stream);
  } catch (const c10::Error& error) {
    Fail("{}: not a checkpoint of lowbit train ({})", path.string(), error.what_without_backtrace());
  }
  State state;
  if (list.empty() || list[0].scalar_type() != torch::kUInt8)
    Fail("{}: not a checkpoint of lowbit train", path.string());
  const std::string_view names(static_cast<const char*>(list[0].data_ptr()),
                               static_cast<size_t>(list[0].numel()));
  size_t begin = 0, index = 1;
  while (begin < names.size() && index < list.size()) {
    const size_t end = names.find('\0', begin);
    if (end == std::string_view::npos) break;
    state.emplace(names.substr(begin, end - begin), list[index++]);
    begin = end + 1;
  }
  if (index != list.size() || begin != names.size())
    Fail("{}: names and tensors do not match", path.string());
  return state;
}

}  // namespace lowbit::lab
