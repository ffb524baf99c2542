// `lowbit train RECIPE.toml --data DIR -o OUT`: trains a language model from scratch and writes a Hugging
// Face folder.
#pragma once

namespace lowbit::lab {

// Runs the command; argv[0] is "train". Returns the exit code. Throws Error, UsageError, Interrupted.
int TrainCommand(int argc, const char* const* argv);

}  // namespace lowbit::lab
