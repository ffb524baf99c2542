#include "lab/data/tokenizer.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "lab/sentencepiece/module.h"
#include "lowbit/base/error.h"

namespace lowbit::lab {
namespace {

// The module lies next to the library that holds this function.
const SentencePiece& Library() {
  static const SentencePiece* library = [] {
    Dl_info here{};
    dladdr(reinterpret_cast<const void*>(&Library), &here);
    const auto path = std::filesystem::path(here.dli_fname).parent_path() / "liblowbit_sentencepiece.so";
    int flags = RTLD_NOW | RTLD_LOCAL;
#ifndef __SANITIZE_ADDRESS__
    flags |= RTLD_DEEPBIND;  // its own protocol buffers before libtorch's
#endif
    void* module = dlopen(path.c_str(), flags);
    if (module == nullptr) Fail("training a tokenizer needs {}: {}", path.string(), dlerror());
    const auto open = reinterpret_cast<const SentencePiece* (*)()>(dlsym(module, "lowbit_sentencepiece"));
    if (open == nullptr) Fail("{}: not lowbit's sentencepiece module", path.string());
    return open();
  }();
  return *library;
}

// Walks the lines of all documents.
std::function<bool(std::string&)> Lines(const std::vector<Document>& documents) {
  return [&documents, document = size_t{0}, at = size_t{0}](std::string& line) mutable {
    for (; document < documents.size(); ++document, at = 0) {
      const std::string& text = documents[document].text;
      while (at < text.size()) {
        const size_t end = std::min(text.find('\n', at), text.size());
        line.assign(text, at, end - at);
        at = end + 1;
        if (!line.empty()) return true;
      }
    }
    return false;
  };
}

// Protocol-buffer fields, as far as the model file needs them: varints and length-delimited parts.
class Fields {
 public:
  Fields(const std::string& bytes, size_t first, size_t last) : bytes_(bytes), at_(first), end_(last) {}
  // Moves to the next field; false at the end.
  bool Next() {
    if (at_ >= end_) return false;
    const uint64_t key = Varint();
    number = static_cast<int>(key >> 3);
    begin = at_;
    switch (key & 7) {
      case 0: Varint(); break;
      case 1: at_ += 8; break;
      case 2: {
        const uint64_t size = Varint();
        begin = at_;
        at_ += size;
        break;
      }
      case 5: at_ += 4; break;
      default: Fail("tokenizer model: unknown wire type");
    }
    if (at_ > end_) Fail("tokenizer model: a field runs past the end");
    end = at_;
    return true;
  }
  int number = 0;
  size_t begin = 0, end = 0;  // of the payload

 private:
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; at_ < end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << (shift & 63);
      if (byte < 0x80) break;
    }
    return value;
  }
  const std::string& bytes_;
  size_t at_, end_;
};

// Lines are trained as they stand inside a text, where a newline and no space comes before them; the finished model puts
// one space before a whole text, as Llama's does.
void SetDummyPrefix(std::string& model) {
  constexpr int kNormalizerSpec = 3, kAddDummyPrefix = 3;
  for (Fields fields(model, 0, model.size()); fields.Next();) {
    if (fields.number != kNormalizerSpec) continue;
    for (Fields inner(model, fields.begin, fields.end); inner.Next();) {
      if (inner.number == kAddDummyPrefix) {
        model[inner.begin] = 1;
        return;
      }
    }
  }
  Fail("tokenizer model: no normalizer with add_dummy_prefix");
}

// Types of pieces in the file.
enum PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Piece {
  std::string text;
  float score = 0;
  int type = kNormal;
};

std::vector<Piece> Pieces(const std::string& model) {
  constexpr int kPieces = 1, kText = 1, kScore = 2, kType = 3;
  std::vector<Piece> pieces;
  for (Fields fields(model, 0, model.size()); fields.Next();) {
    if (fields.number != kPieces) continue;
    Piece& piece = pieces.emplace_back();
    for (Fields inner(model, fields.begin, fields.end); inner.Next();) {
      if (inner.number == kText) piece.text = model.substr(inner.begin, inner.end - inner.begin);
      if (inner.number == kScore && inner.end - inner.begin == 4) std::memcpy(&piece.score, &model[inner.begin], 4);
      if (inner.number == kType) piece.type = model[inner.begin];
    }
  }
  return pieces;
}

}  // namespace

std::string TrainTokenizer(const std::vector<Document>& documents, const TokenizerOptions& options) {
  std::string model;
  const std::string failure = Library().train(
      {{"model_type", "bpe"},
       {"vocab_size", std::to_string(options.vocab)},
       {"byte_fallback", "true"},
       {"split_digits", "true"},
       {"character_coverage", fmt::format("{}", options.character_coverage)},
       {"normalization_rule_name", "identity"},
       {"remove_extra_whitespaces", "false"},
       {"allow_whitespace_only_pieces", "true"},
       {"add_dummy_prefix", "false"},
       {"max_sentence_length", "65536"},
       {"num_threads", "1"},
       {"minloglevel", "2"}},
      Lines(documents), model);
  if (!failure.empty()) Fail("training the tokenizer: {}", failure);
  SetDummyPrefix(model);
  return model;
}

std::vector<std::vector<int32_t>> Tokenize(const std::string& model, const std::vector<Document>& documents) {
  std::vector<std::string> texts;
  for (const Document& document : documents) texts.push_back(document.text);
  std::vector<std::vector<int32_t>> ids;
  const std::string failure = Library().encode(model, texts, ids);
  if (!failure.empty()) Fail("tokenizing: {}", failure);
  return ids;
}

std::string TokenizerJson(const std::string& model) {
  using Json = nlohmann::ordered_json;
  const std::vector<Piece> pieces = Pieces(model);
  Json vocab = Json::object(), added = Json::array();
  std::unordered_map<std::string, int> id_of;
  for (int id = 0; id < static_cast<int>(pieces.size()); ++id) {
    const auto& [piece, score, type] = pieces[static_cast<size_t>(id)];
    vocab[piece] = id;
    if (type == kControl || type == kUnknown) {
      added.push_back({{"id", id}, {"content", piece}, {"single_word", false}, {"lstrip", false}, {"rstrip", false},
                       {"normalized", false}, {"special", true}});
    } else if (type != kByte) {
      id_of.emplace(piece, id);
    }
  }
  // Every way to cut a piece into two pieces is a merge; the piece's rank (scores fall with the id) orders them, and
  // among the ways of one piece the order is that of the left part.
  struct Merge {
    int id, left, right;
  };
  std::vector<Merge> merges;
  for (const auto& [piece, id] : id_of) {
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      if ((static_cast<unsigned char>(piece[cut]) & 0xc0) == 0x80) continue;  // inside a character
      const auto left = id_of.find(piece.substr(0, cut)), right = id_of.find(piece.substr(cut));
      if (left != id_of.end() && right != id_of.end()) merges.push_back({id, left->second, right->second});
    }
  }
  std::sort(merges.begin(), merges.end(), [&](const Merge& a, const Merge& b) {
    const float score_a = pieces[a.id].score, score_b = pieces[b.id].score;
    if (score_a != score_b) return score_a > score_b;
    return std::tie(a.id, a.left, a.right) < std::tie(b.id, b.left, b.right);
  });
  Json merged = Json::array();
  for (const Merge& merge : merges) {
    merged.push_back(pieces[merge.left].text + " " + pieces[merge.right].text);
  }
  const std::string space = "\xe2\x96\x81";  // U+2581
  const auto replace = [](const std::string& from, const std::string& to) {
    return Json{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  const Json start = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const auto sequence = [](const char* id, int type) {
    return Json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  const Json start_1 = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 1}}}};
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = added;
  json["normalizer"] = {{"type", "Sequence"},
                        {"normalizers", Json::array({{{"type", "Prepend"}, {"prepend", space}}, replace(" ", space)})}};
  json["pre_tokenizer"] = nullptr;
  json["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", Json::array({start, sequence("A", 0)})},
      {"pair", Json::array({start, sequence("A", 0), start_1, sequence("B", 1)})},
      {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", Json::array({1})}, {"tokens", Json::array({"<s>"})}}}}}};
  json["decoder"] = {{"type", "Sequence"},
                     {"decoders", Json::array({replace(space, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}},
                                               {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}})}};
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", "<unk>"},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", true},
                   {"byte_fallback", true},
                   {"ignore_merges", false},
                   {"vocab", vocab},
                   {"merges", merged}};
  return json.dump(1);
}

}  // namespace lowbit::lab
