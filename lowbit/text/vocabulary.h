// Pieces and their ids, both ways.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lowbit {

class Vocabulary {
 public:
  static constexpr int32_t kMaxId = 1 << 24;  // files with larger ids are refused

  Vocabulary() = default;
  // pieces[id]; of equal pieces the first keeps the name. An empty piece is a hole.
  explicit Vocabulary(std::vector<std::string> pieces);

  int32_t Find(std::string_view piece) const {  // -1 when absent
    const auto it = ids_.find(piece);
    return it == ids_.end() ? -1 : it->second;
  }
  std::string_view piece(int32_t id) const;  // empty when out of range
  int32_t size() const { return static_cast<int32_t>(pieces_ ? pieces_->size() : 0); }

 private:
  // Shared, so that copies keep the views in ids_ valid.
  std::shared_ptr<const std::vector<std::string>> pieces_;
  std::unordered_map<std::string_view, int32_t> ids_;
};

// "<0x0A>" is the piece of one byte in vocabularies with byte fallback.
std::string BytePiece(uint8_t byte);
int PieceByte(std::string_view piece);  // -1: not of that form

}  // namespace lowbit
