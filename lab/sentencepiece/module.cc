#include "lab/sentencepiece/module.h"

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

}  // namespace
}  // namespace lowbit::lab

const lowbit::lab::SentencePiece* lowbit_sentencepiece() {
  static const lowbit::lab::SentencePiece door = {lowbit::lab::Train};
  return &door;
}
