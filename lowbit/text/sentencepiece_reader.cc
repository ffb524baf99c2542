// tokenizer.model of sentencepiece. The library parses and checks the model and hands out the pieces; the few
// settings that it does not expose (algorithm, normalizer) are read from its serialized form, a protocol
// buffer:
//   ModelProto    2 trainer_spec, 3 normalizer_spec
//   TrainerSpec   3 model_type (1 unigram, 2 BPE, 3 word, 4 char)
//   NormalizerSpec 2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5
//   escape_whitespaces
// Unset fields have the defaults of sentencepiece_model.proto.
#include <sentencepiece_processor.h>

#include "lowbit/base/error.h"
#include "lowbit/text/metaspace_pipeline.h"
#include "lowbit/text/tokenizer.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

// One field of a protocol buffer message at a time.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : bytes_(bytes) {}

  // False at the end. A varint field sets `number`, a length-delimited one `text`.
  bool Next() {
    if (bytes_.empty()) return false;
    const uint64_t tag = Varint();
    field = tag >> 3;
    number = 0;
    text = {};
    switch (tag & 7) {
      case 0:
        number = Varint();
        return true;
      case 1:
        Skip(8);
        return true;
      case 2:
        text = Skip(Varint());
        return true;
      case 5:
        Skip(4);
        return true;
      default:
        Fail("tokenizer.model: wire type {} of a protocol buffer", tag & 7);
    }
  }

  uint64_t field = 0, number = 0;
  std::string_view text;

 private:
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) Fail("tokenizer.model: the file is cut");
      const auto byte = static_cast<uint8_t>(bytes_[0]);
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    Fail("tokenizer.model: a number of more than 64 bits");
  }
  std::string_view Skip(uint64_t size) {
    if (size > bytes_.size()) Fail("tokenizer.model: the file is cut");
    const std::string_view part = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return part;
  }
  std::string_view bytes_;
};

struct Settings {
  uint64_t model_type = 1;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  std::string charsmap;
};

constexpr uint64_t kUserDefinedPiece = 4;

// Settings, and per piece whether it is user-defined (the library does not tell).
Settings ReadSettings(std::string_view model, std::vector<bool>& user_defined) {
  Settings settings;
  for (FieldReader root(model); root.Next();) {
    if (root.field == 1) {
      uint64_t type = 1;
      for (FieldReader piece(root.text); piece.Next();) {
        if (piece.field == 3) type = piece.number;
      }
      user_defined.push_back(type == kUserDefinedPiece);
    } else if (root.field == 2) {
      for (FieldReader trainer(root.text); trainer.Next();) {
        if (trainer.field == 3) settings.model_type = trainer.number;
      }
    } else if (root.field == 3) {
      for (FieldReader normalizer(root.text); normalizer.Next();) {
        if (normalizer.field == 2) settings.charsmap = normalizer.text;
        if (normalizer.field == 3) settings.add_dummy_prefix = normalizer.number != 0;
        if (normalizer.field == 4) settings.remove_extra_whitespaces = normalizer.number != 0;
        if (normalizer.field == 5) settings.escape_whitespaces = normalizer.number != 0;
      }
    }
  }
  return settings;
}

}  // namespace

Tokenizer Tokenizer::FromSentencePiece(std::string_view model_bytes) {
  std::vector<bool> user_defined;
  Settings settings = ReadSettings(model_bytes, user_defined);
  CheckCharsmap(settings.charsmap);  // the library would follow it blindly
  if (settings.model_type != 1 && settings.model_type != 2) {
    Fail("tokenizer.model: algorithm {} is not supported; known: 1 (unigram), 2 (BPE)", settings.model_type);
  }
  if (!settings.escape_whitespaces) Fail("tokenizer.model: escape_whitespaces = false is not supported");
  sentencepiece::SentencePieceProcessor processor;
  if (const auto status = processor.LoadFromSerializedProto(model_bytes); !status.ok()) {
    Fail("tokenizer.model: {}", status.ToString());
  }
  MetaspaceModel model;
  const auto count = static_cast<size_t>(processor.GetPieceSize());
  if (user_defined.size() != count)
    Fail("tokenizer.model: {} pieces, of which {} are read", user_defined.size(), count);
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    model.pieces.push_back(RepairUtf8(processor.IdToPiece(id)));
    model.scores.push_back(processor.GetScore(id));
    model.kinds.push_back(processor.IsUnknown(id)                 ? PieceKind::kUnknown
                          : processor.IsControl(id)               ? PieceKind::kControl
                          : processor.IsByte(id)                  ? PieceKind::kByte
                          : processor.IsUnused(id)                ? PieceKind::kUnused
                          : user_defined[static_cast<size_t>(id)] ? PieceKind::kUserDefined
                                                                  : PieceKind::kNormal);
  }
  model.algorithm =
      settings.model_type == 1 ? MetaspaceModel::Algorithm::kUnigram : MetaspaceModel::Algorithm::kBpe;
  model.unknown = processor.unk_id();
  model.bos = processor.bos_id();
  if (processor.eos_id() >= 0) model.eos = {processor.eos_id()};
  // Whether BOS is added is not part of the model file; every family that ships one for generation adds it.
  model.add_bos = model.bos >= 0;
  model.add_prefix_space = settings.add_dummy_prefix;
  model.collapse_spaces = settings.remove_extra_whitespaces;
  model.escaped_user_defined = true;
  model.charsmap = std::move(settings.charsmap);
  return MakeMetaspaceTokenizer(std::move(model));
}

}  // namespace lowbit
