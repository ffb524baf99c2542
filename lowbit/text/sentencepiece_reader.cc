// tokenizer.model of sentencepiece, a protocol buffer:
//   ModelProto      1 pieces (repeated), 2 trainer_spec, 3 normalizer_spec
//   SentencePiece   1 piece, 2 score (float), 3 type (PieceType)
//   TrainerSpec     3 model_type (1 unigram, 2 BPE, 3 word, 4 char), 24 treat_whitespace_as_suffix,
//                   35 byte_fallback, 46 bos_piece, 47 eos_piece
//   NormalizerSpec  2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces,
//                   5 escape_whitespaces
// Unset fields have the defaults of sentencepiece_model.proto. What sentencepiece itself refuses in a model
// is refused here.
#include <unordered_map>

#include "lowbit/base/error.h"
#include "lowbit/io/protobuf.h"
#include "lowbit/text/metaspace_pipeline.h"
#include "lowbit/text/tokenizer.h"
#include "lowbit/text/utf8.h"
#include "lowbit/text/vocabulary.h"

namespace lowbit {
namespace {

constexpr std::string_view kWhere = "tokenizer.model";

struct Settings {
  uint64_t model_type = 1;
  bool space_as_suffix = false, byte_fallback = false;
  std::string bos = "<s>", eos = "</s>";
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  std::string charsmap;
};

struct ModelPiece {
  std::string_view text;
  float score = 0;
  PieceKind kind = PieceKind::kNormal;
};

PieceKind KindOf(uint64_t type) {
  constexpr PieceKind kKinds[] = {PieceKind::kNormal,      PieceKind::kUnknown, PieceKind::kControl,
                                  PieceKind::kUserDefined, PieceKind::kUnused,  PieceKind::kByte};
  if (type < 1 || type > std::size(kKinds)) Fail("{}: piece type {}; known: 1 to 6", kWhere, type);
  return kKinds[type - 1];
}

ModelPiece ReadPiece(std::string_view message) {
  ModelPiece piece;
  for (ProtobufReader reader(message, kWhere); reader.Next();) {
    if (reader.Is(1, WireType::kBytes)) piece.text = reader.bytes();
    if (reader.Is(2, WireType::kFixed32)) piece.score = reader.AsFloat();
    if (reader.Is(3, WireType::kVarint)) piece.kind = KindOf(reader.number());
  }
  return piece;
}

void ReadTrainer(std::string_view message, Settings& settings) {
  for (ProtobufReader reader(message, kWhere); reader.Next();) {
    if (reader.Is(3, WireType::kVarint)) settings.model_type = reader.number();
    if (reader.Is(24, WireType::kVarint)) settings.space_as_suffix = reader.number() != 0;
    if (reader.Is(35, WireType::kVarint)) settings.byte_fallback = reader.number() != 0;
    if (reader.Is(46, WireType::kBytes)) settings.bos = reader.bytes();
    if (reader.Is(47, WireType::kBytes)) settings.eos = reader.bytes();
  }
}

void ReadNormalizer(std::string_view message, Settings& settings) {
  for (ProtobufReader reader(message, kWhere); reader.Next();) {
    if (reader.Is(2, WireType::kBytes)) settings.charsmap = reader.bytes();
    if (reader.Is(3, WireType::kVarint)) settings.add_dummy_prefix = reader.number() != 0;
    if (reader.Is(4, WireType::kVarint)) settings.remove_extra_whitespaces = reader.number() != 0;
    if (reader.Is(5, WireType::kVarint)) settings.escape_whitespaces = reader.number() != 0;
  }
}

// Pieces that text can spell and pieces that stand for something else have names of their own.
bool InText(PieceKind kind) {
  return kind == PieceKind::kNormal || kind == PieceKind::kUserDefined || kind == PieceKind::kUnused;
}

// Ids of the pieces that are not text.
using ReservedIds = std::unordered_map<std::string_view, int32_t>;

ReservedIds CheckPieces(const std::vector<ModelPiece>& pieces, bool byte_fallback) {
  ReservedIds text, reserved;
  int unknown = 0, bytes = 0;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const ModelPiece& piece = pieces[id];
    if (piece.text.empty()) Fail("{}: piece {} is empty", kWhere, id);
    auto& names = InText(piece.kind) ? text : reserved;
    if (!names.emplace(piece.text, static_cast<int32_t>(id)).second) {
      Fail("{}: piece {} is the same as piece {}: '{}'", kWhere, id, names[piece.text],
           RepairUtf8(piece.text));
    }
    unknown += piece.kind == PieceKind::kUnknown ? 1 : 0;
    if (piece.kind != PieceKind::kByte) continue;
    const int byte = PieceByte(piece.text);
    if (byte < 0 || BytePiece(static_cast<uint8_t>(byte)) != piece.text) {
      Fail("{}: piece {} should be a byte such as <0x0A>, it is '{}'", kWhere, id, RepairUtf8(piece.text));
    }
    ++bytes;
  }
  if (unknown != 1) Fail("{}: {} pieces are marked as the unknown one; one should be", kWhere, unknown);
  const int expected = byte_fallback ? 256 : 0;
  if (bytes != expected) {
    Fail("{}: {} pieces of single bytes; with byte_fallback = {} there should be {}", kWhere, bytes,
         byte_fallback, expected);
  }
  return reserved;
}

}  // namespace

Tokenizer Tokenizer::FromSentencePiece(std::string_view model_bytes) {
  Settings settings;
  std::vector<ModelPiece> pieces;
  for (ProtobufReader reader(model_bytes, kWhere); reader.Next();) {
    if (reader.Is(1, WireType::kBytes)) pieces.push_back(ReadPiece(reader.bytes()));
    if (reader.Is(2, WireType::kBytes)) ReadTrainer(reader.bytes(), settings);
    if (reader.Is(3, WireType::kBytes)) ReadNormalizer(reader.bytes(), settings);
  }
  if (settings.model_type != 1 && settings.model_type != 2) {
    Fail("{}: algorithm {} is not supported; known: 1 (unigram), 2 (BPE)", kWhere, settings.model_type);
  }
  if (!settings.escape_whitespaces) Fail("{}: escape_whitespaces = false is not supported", kWhere);
  if (settings.space_as_suffix) Fail("{}: treat_whitespace_as_suffix = true is not supported", kWhere);
  const ReservedIds reserved = CheckPieces(pieces, settings.byte_fallback);
  const auto control = [&](const std::string& name) {
    const auto found = reserved.find(name);
    const bool is_control =
        found != reserved.end() && pieces[static_cast<size_t>(found->second)].kind == PieceKind::kControl;
    return is_control ? found->second : -1;
  };

  MetaspaceModel model;
  for (const ModelPiece& piece : pieces) {
    if (piece.kind == PieceKind::kUnknown) model.unknown = static_cast<int32_t>(model.pieces.size());
    model.pieces.push_back(RepairUtf8(piece.text));
    model.scores.push_back(piece.score);
    model.kinds.push_back(piece.kind);
  }
  model.algorithm =
      settings.model_type == 1 ? MetaspaceModel::Algorithm::kUnigram : MetaspaceModel::Algorithm::kBpe;
  model.bos = control(settings.bos);
  if (const int32_t eos = control(settings.eos); eos >= 0) model.eos = {eos};
  // Whether BOS is added is not part of the model file; every family that ships one for generation adds it.
  model.add_bos = model.bos >= 0;
  model.add_prefix_space = settings.add_dummy_prefix;
  model.collapse_spaces = settings.remove_extra_whitespaces;
  model.user_defined_as_pieces = true;
  model.charsmap = std::move(settings.charsmap);
  return MakeMetaspaceTokenizer(std::move(model));
}

}  // namespace lowbit
