// A text that a very small model can learn: sentences of one grammar with a few hundred words.
#pragma once

#include <string>
#include <vector>

#include "lowbit/base/random.h"

namespace lowbit::lab {

inline std::string TinyText(int sentences, uint64_t seed) {
  Random random(seed);
  const auto pick = [&](const std::vector<std::string>& words) {
    return words[random.Below(static_cast<uint32_t>(words.size()))];
  };
  const std::vector<std::string> who = {"the miller",   "a sailor", "her brother",
                                        "the old king", "nobody",   "a fox"},
                                 did = {"carried", "forgot", "painted", "sold", "found", "buried"},
                                 what = {"a lantern",   "seven apples", "the bridge",
                                         "an iron key", "the map",      "12 caf\xC3\xA9 chairs"},
                                 where = {"by the river", "before noon", "in the tower", "without a word"};
  std::string text;
  for (int i = 0; i < sentences; ++i) {
    text += pick(who) + " " + pick(did) + " " + pick(what);
    if (random.Below(2) == 1) text += " " + pick(where);
    text += i % 7 == 6 ? ".\n\n" : i % 3 == 2 ? ".\n" : ". ";
  }
  return text;
}

}  // namespace lowbit::lab
