// tokenizer.model of sentencepiece.
#include "fuzz/exercise_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lowbit::AllowErrors([&] {
    lowbit::ExerciseTokenizer(
        lowbit::Tokenizer::FromSentencePiece({reinterpret_cast<const char*>(data), size}));
  });
  return 0;
}
