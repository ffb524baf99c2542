#include "lowbit/text/utf8.h"

#include <cstring>

#include "lowbit/base/error.h"

namespace lowbit {

Utf8Step NextUtf8(std::string_view text) {
  constexpr char32_t kReplacement = 0xFFFD;
  if (text.empty()) return {kReplacement, 0, Utf8Step::kCut};
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1, Utf8Step::kGood};
  uint32_t length = 0;
  char32_t point = 0;
  uint8_t low = 0x80, high = 0xBF;  // bounds of the second byte; the later ones are always 80..BF
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
    point = first & 0x1F;
  } else if ((first & 0xF0) == 0xE0) {
    length = 3;
    point = first & 0x0F;
    if (first == 0xE0) low = 0xA0;   // no overlong forms
    if (first == 0xED) high = 0x9F;  // no surrogates
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    point = first & 0x07;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {kReplacement, 1, Utf8Step::kBad};
  }
  for (uint32_t i = 1; i < length; ++i) {
    if (i == text.size()) return {kReplacement, i, Utf8Step::kCut};
    if (byte(i) < low || byte(i) > high) return {kReplacement, i, Utf8Step::kBad};
    point = (point << 6) | (byte(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {point, length, Utf8Step::kGood};
}

void AppendUtf8(std::string& out, char32_t point) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | (point >> 6));
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | (point >> 12));
    put(0x80 | ((point >> 6) & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | (point >> 18));
    put(0x80 | ((point >> 12) & 0x3F));
    put(0x80 | ((point >> 6) & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

size_t FirstInvalidUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight;
    if (text.size() - at >= 8) {  // mostly ASCII in practice
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const Utf8Step step = NextUtf8(text.substr(at));
    if (step.kind != Utf8Step::kGood) return at;
    at += step.length;
  }
  return std::string_view::npos;
}

void CheckUtf8(std::string_view text, const std::string& where) {
  const size_t bad = FirstInvalidUtf8(text);
  if (bad == std::string_view::npos) return;
  Fail("{}: not UTF-8: byte {} (0x{:02x}) begins no character", where, bad, static_cast<uint8_t>(text[bad]));
}

std::string RepairUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t good = std::min(FirstInvalidUtf8(text), text.size());
    out.append(text.substr(0, good));
    text.remove_prefix(good);
    if (text.empty()) break;
    AppendUtf8(out, 0xFFFD);
    text.remove_prefix(NextUtf8(text).length);
  }
  return out;
}

std::string Utf8Stream::Push(std::string_view bytes) {
  held_.append(bytes);
  // A cut sequence is at most three bytes long, so only the last three positions can begin one.
  size_t complete = held_.size();
  for (size_t back = 1; back <= 3 && back <= held_.size(); ++back) {
    const std::string_view tail = std::string_view(held_).substr(held_.size() - back);
    const Utf8Step step = NextUtf8(tail);
    if (step.kind == Utf8Step::kCut && step.length == back) complete = held_.size() - back;
  }
  std::string out = RepairUtf8(std::string_view(held_).substr(0, complete));
  held_.erase(0, complete);
  return out;
}

std::string Utf8Stream::Finish() {
  std::string out = RepairUtf8(held_);
  held_.clear();
  return out;
}

}  // namespace lowbit
