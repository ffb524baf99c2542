// The path that a command writes to, checked before any work is done.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lowbit/model/model.h"

namespace lowbit::cli {

// Throws UsageError when `output` (the value of -o) names a folder, is empty, or is one of the files that the
// command reads; Error when it cannot be written.
void CheckOutputFile(const std::string& output, const std::vector<std::filesystem::path>& inputs);

// The same for a folder that is filled: it must hold none of the inputs.
void CheckOutputFolder(const std::string& output, const std::vector<std::filesystem::path>& inputs);

// The files that a model was opened from.
std::vector<std::filesystem::path> FilesOf(const Model& model);

}  // namespace lowbit::cli
