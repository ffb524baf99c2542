// What an index stores, as a short string:
//
//   SPEC    = [ "IVF" LISTS "," ] CODEC [ "," REFINE ]
//   CODEC   = "Flat" | "F16"                       the vectors, f32 or f16
//           | "SQ" BITS                            each dimension on a uniform grid, 1 to 8 bits
//           | "PQ" PARTS [ "x" BITS ]              product quantizer, 2^BITS codewords a part (default 8)
//           | "RQ" STAGES [ "x" BITS ]             residual quantizer
//           | "TQ" B | "RaBitQ" B | "Trellis" B | "QJL"   rotated codes (quantize/vector_code.h): TQ4,
//                                                  TQ2.5, TQ4-rescaled, TQ3-prod, RaBitQ4, Trellis3 ...
//   REFINE  = "Refine(" CODEC ")" | "Rerank" CODEC  a second, finer code that ranks the best candidates again
//
// "IVF256,TQ4", "PQ32x8", "IVF1024,RaBitQ4,Refine(F16)", "Trellis2,RerankSQ8". Letters of either case are
// read; Name() writes the form above.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lowbit {

struct PlainCode {
  bool half = false;  // f16
  bool operator==(const PlainCode&) const = default;
};
struct ScalarCode {
  int bits = 8;
  bool operator==(const ScalarCode&) const = default;
};
struct CodebookCode {
  bool residual = false;  // stages on all dimensions instead of parts of them
  int64_t codebooks = 0;
  int bits = 8;
  bool operator==(const CodebookCode&) const = default;
};
struct RotatedCode {
  std::string name;  // of MakeVectorCode
  bool operator==(const RotatedCode&) const = default;
};
using CodecSpec = std::variant<PlainCode, ScalarCode, CodebookCode, RotatedCode>;

struct IndexSpec {
  int64_t lists = 1;  // 1: no inverted file, all vectors in one list
  CodecSpec codec;
  std::vector<CodecSpec> refine;  // none or one
  bool operator==(const IndexSpec&) const = default;
};

// Throws UsageError, with the nearest valid string, for anything else.
IndexSpec ParseIndexSpec(std::string_view text);
std::string NameOf(const CodecSpec& codec);
std::string NameOf(const IndexSpec& spec);
// A codec of every kind and width, for lists and tests.
std::vector<std::string> CodecNames();

}  // namespace lowbit
