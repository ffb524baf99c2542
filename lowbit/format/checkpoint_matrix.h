// Linear layers of checkpoints that are already quantized, in one form whatever file they come from: GPTQ
// (v1, v2, planar), AWQ (gemm), compressed-tensors (pack-quantized). GPTQ is also written.
//
//     W[o, i] = scale[o, g] * (code[o, i] - zero[o, g]),   g = group[i]
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/io/tensor_source.h"

namespace lowbit {

struct CheckpointMatrix {
  int bits = 0;                // codes and zeros are below 2^bits
  int64_t rows = 0, cols = 0;  // out, in
  int64_t groups = 0;
  std::vector<uint8_t> codes;  // (rows, cols)
  std::vector<float> scales;   // (rows, groups)
  std::vector<int32_t> zeros;  // (rows, groups)
  std::vector<int32_t> group;  // (cols): not monotone in files made with activation order
};

// (rows, cols) in f32: the difference is exact, the product rounds once.
std::vector<float> Dequantize(const CheckpointMatrix& matrix);

// How GPTQ files store a matrix, tensors named <prefix>.qweight and so on:
//   qweight i32 [in b / 32, out]   codes packed along in, a column of the tensor is an output
//   qzeros  i32 [G, out b / 32]    zero points packed along out
//   scales  f16 [G, out]
//   g_idx   i32 [in]               may be absent: i / group_size then
struct GptqLayout {
  // Fields of qzeros: v1 ("gptq", or no checkpoint_format) holds zero - 1 modulo 2^b, v2 ("gptq_v2") zero
  // itself, planar ("gptq_p") zero itself with codes and zeros in bit planes instead of a stream.
  enum class Version { kV1, kV2, kPlanar };
  int bits = 4;
  Version version = Version::kV1;
  int64_t group_size = -1;  // -1: one group; used only where g_idx is absent
};

// Error names the file, the tensor and the shape that it should have.
CheckpointMatrix ReadGptq(const TensorSource& source, const std::string& prefix, const GptqLayout& layout);

// AWQ "gemm", 4 bits: qweight i32 [in, out / 8], qzeros i32 [G, out / 8] (both in kAwqOrder along out),
// scales [G, out]; groups of in / G consecutive columns.
CheckpointMatrix ReadAwq(const TensorSource& source, const std::string& prefix);

// compressed-tensors "pack-quantized": weight_packed i32 [out, ceil(in b / 32)], codes + 2^(b-1), packed
// along in as a stream, or in older files as whole fields; weight_shape [2]; weight_scale [out, G];
// weight_zero_point, if not symmetric, packed along out, i32 [ceil(out b / 32), G], or i8 [out, G] in older
// files; weight_g_idx [in], if activation order was used (all -1 means it was not).
CheckpointMatrix ReadCompressedTensors(const TensorSource& source, const std::string& prefix, int bits);

// The tensors of one GPTQ layer. Scales round to f16; a scale that overflows or vanishes there is an error,
// as are dimensions that do not fill whole words.
//
// v1 stores the zero point 0 as 2^b - 1. Some readers add 1 without masking and see 2^b: write v2 when
// HasZeroPoint0 is true.
struct GptqTensors {
  std::vector<int32_t> qweight;
  std::vector<int32_t> qzeros;
  std::vector<uint16_t> scales;  // f16
  std::vector<int32_t> g_idx;
  std::vector<int64_t> qweight_shape, qzeros_shape, scales_shape, g_idx_shape;
};
GptqTensors PackGptq(const CheckpointMatrix& matrix, GptqLayout::Version version);
bool HasZeroPoint0(const CheckpointMatrix& matrix);

}  // namespace lowbit
