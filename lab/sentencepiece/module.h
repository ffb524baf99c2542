// The trainer of the sentencepiece library behind a door of its own: a module that lab/data loads with
// dlopen. Debian's libsentencepiece exports the symbols of the protocol-buffer version built into it, and
// libtorch brings another version: in one scope of the dynamic linker each would call the other's functions
// and crash.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>

namespace lowbit::lab {

// What the module offers. Reading a model and encoding need no library (Tokenizer::FromSentencePiece).
struct SentencePiece {
  // `next` gives one line after the other and false at the end; `model` receives the serialised ModelProto.
  // Returns an empty string, or the library's message.
  std::string (*train)(const std::unordered_map<std::string, std::string>& arguments,
                       const std::function<bool(std::string&)>& next, std::string& model);
};

}  // namespace lowbit::lab

extern "C" __attribute__((visibility("default"))) const lowbit::lab::SentencePiece* lowbit_sentencepiece();
