// The claims of a system's card, measured on trained models and real data.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lowbit/base/thread_pool.h"

namespace lowbit::reproduce {

struct Claim {
  std::string id, text, measured, expected;
  bool holds = false;
};

struct Options {
  std::filesystem::path data;   // a folder of items: language models (config.json inside), texts in "text"
  std::filesystem::path model;  // empty: the first language model of the data folder that has a tokenizer
  int seeds = 3;
};

struct Outcome {
  std::string system, model, text = {};  // text: empty where none was scored
  std::vector<Claim> claims;
  // What was measured on the way, where a table says more than sentences; may be empty.
  std::vector<std::string> header = {};
  std::vector<std::vector<std::string>> rows = {};
  bool holds() const;
};

// The first folder of `data`, by name, that holds a language model and its tokenizer. Throws Error when there
// is none.
std::filesystem::path FirstModel(const std::filesystem::path& data);

using System = std::function<Outcome(const Options&, ThreadPool&)>;
// The systems whose claims can be measured, by name.
const std::vector<std::pair<std::string, System>>& Systems();

Outcome ReproduceGptq(const Options& options, ThreadPool& pool);
Outcome ReproducePvq(const Options& options, ThreadPool& pool);
Outcome ReproduceTurboQuant(const Options& options, ThreadPool& pool);
Outcome ReproduceVidKv(const Options& options, ThreadPool& pool);

}  // namespace lowbit::reproduce
