#include "lab/sentencepiece/module.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

namespace lowbit::lab {
namespace {

class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::function<bool(std::string&)>& next) : next_(next) { Next(); }
  bool done() const override { return done_; }
  const std::string& value() const override { return line_; }
  sentencepiece::util::Status status() const override { return {}; }
  void Next() override { done_ = !next_(line_); }

 private:
  const std::function<bool(std::string&)>& next_;
  std::string line_;
  bool done_ = false;
};

std::string Train(const std::unordered_map<std::string, std::string>& arguments,
                  const std::function<bool(std::string&)>& next, std::string& model) {
  Lines lines(next);
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &lines, &model);
  return status.ok() ? "" : status.ToString();
}

std::string Encode(const std::string& model, const std::vector<std::string>& texts,
                   std::vector<std::vector<int32_t>>& ids) {
  sentencepiece::SentencePieceProcessor processor;
  auto status = processor.LoadFromSerializedProto(model);
  for (size_t i = 0; i < texts.size() && status.ok(); ++i) {
    std::vector<int> encoded;
    status = processor.Encode(texts[i], &encoded);
    ids.emplace_back(encoded.begin(), encoded.end());
  }
  return status.ok() ? "" : status.ToString();
}

}  // namespace
}  // namespace lowbit::lab

const lowbit::lab::SentencePiece* lowbit_sentencepiece() {
  static const lowbit::lab::SentencePiece door = {lowbit::lab::Train, lowbit::lab::Encode};
  return &door;
}
