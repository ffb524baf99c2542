#include "lowbit/text/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "lowbit/base/error.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

utf8proc_category_t Category(char32_t point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(point));
}

template <typename Map>
std::string MapPoints(std::string_view text, Map map) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    map(out, step.point);
    text.remove_prefix(step.length);
  }
  return out;
}

}  // namespace

bool IsWhiteSpace(char32_t point) {
  if (point < 0x80) return point == ' ' || (point >= '\t' && point <= '\r');
  if (point == 0x85) return true;
  const utf8proc_category_t category = Category(point);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

bool IsNumeric(char32_t point) {
  if (point < 0x80) return point >= '0' && point <= '9';
  const utf8proc_category_t category = Category(point);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool IsPunctuation(char32_t point) {
  if (point < 0x80) {
    return (point >= '!' && point <= '/') || (point >= ':' && point <= '@') ||
           (point >= '[' && point <= '`') || (point >= '{' && point <= '~');
  }
  const utf8proc_category_t category = Category(point);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool IsMark(char32_t point) {
  return point >= 0x80 && Category(point) == UTF8PROC_CATEGORY_MN;
}

bool IsWord(char32_t point) {
  const utf8proc_category_t category = Category(point);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) return true;
  if (category == UTF8PROC_CATEGORY_PC) return true;
  // Other_Alphabetic outside the categories above: circled and squared Latin letters.
  return (point >= 0x24B6 && point <= 0x24E9) || (point >= 0x1F130 && point <= 0x1F149) ||
         (point >= 0x1F150 && point <= 0x1F169) || (point >= 0x1F170 && point <= 0x1F189);
}

std::string Normalize(std::string_view text, NormalForm form) {
  bool ascii = true;
  for (const char c : text) ascii = ascii && static_cast<uint8_t>(c) < 0x80;
  if (ascii) return std::string(text);
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::kNfc || form == NormalForm::kNfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                             static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(mapped, std::free);
  if (size < 0) Fail("Unicode normalization: {}", utf8proc_errmsg(size));
  return std::string(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
}

std::string LowerCase(std::string_view text) {
  return MapPoints(text, [](std::string& out, char32_t point) {
    if (point == 0x130) {  // dotted capital I keeps its dot
      out += "i\xCC\x87";
    } else {
      AppendUtf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))));
    }
  });
}

std::string UpperCase(std::string_view text) {
  return MapPoints(text, [](std::string& out, char32_t point) {
    if (point == 0xDF) {
      out += "SS";
    } else {
      AppendUtf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(point))));
    }
  });
}

}  // namespace lowbit
