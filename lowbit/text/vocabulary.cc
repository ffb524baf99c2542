#include "lowbit/text/vocabulary.h"

#include "lowbit/base/error.h"

namespace lowbit {

Vocabulary::Vocabulary(std::vector<std::string> pieces) {
  if (pieces.size() > static_cast<size_t>(kMaxId))
    Fail("vocabulary: {} pieces, at most {}", pieces.size(), kMaxId);
  pieces_ = std::make_shared<const std::vector<std::string>>(std::move(pieces));
  ids_.reserve(pieces_->size());
  int32_t id = 0;
  for (const std::string& piece : *pieces_) {
    if (!piece.empty()) ids_.emplace(piece, id);
    ++id;
  }
}

std::string_view Vocabulary::piece(int32_t id) const {
  if (id < 0 || id >= size()) return {};
  return (*pieces_)[static_cast<size_t>(id)];
}

std::string BytePiece(uint8_t byte) {
  return fmt::format("<0x{:02X}>", byte);
}

int PieceByte(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    int digit = 0;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else {
      return -1;
    }
    value = 16 * value + digit;
  }
  return value;
}

}  // namespace lowbit
