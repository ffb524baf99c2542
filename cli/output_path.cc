#include "cli/output_path.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/io/file.h"

namespace lowbit::cli {
namespace {

namespace fs = std::filesystem;

bool Same(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::exists(a, error) && fs::exists(b, error) && fs::equivalent(a, b, error);
}

}  // namespace

void CheckOutputFile(const std::string& output, const std::vector<fs::path>& inputs) {
  if (output.empty()) FailUsage("-o: a file name is needed");
  std::error_code error;
  if (fs::is_directory(output, error)) FailUsage("-o {}: is a folder; give a file name in it", output);
  for (const fs::path& input : inputs) {
    if (Same(output, input))
      FailUsage("-o {}: is a file that this command reads; choose another name", output);
  }
  const AtomicFile probe{fs::path(output)};  // made and removed: fails now rather than after the work
}

void CheckOutputFolder(const std::string& output, const std::vector<fs::path>& inputs) {
  if (output.empty()) FailUsage("-o: the name of a folder is needed");
  std::error_code error;
  if (fs::exists(output, error) && !fs::is_directory(output, error))
    FailUsage("-o {}: is a file; a folder is written", output);
  for (const fs::path& input : inputs) {
    if (Same(output, input.has_parent_path() ? input.parent_path() : fs::path(".")))
      FailUsage("-o {}: is the folder of {}, which this command reads; choose another", output,
                input.string());
  }
}

std::vector<fs::path> FilesOf(const Model& model) {
  std::vector<fs::path> files = model.weight_files;
  files.insert(files.end(), model.other_files.begin(), model.other_files.end());
  return files;
}

}  // namespace lowbit::cli
