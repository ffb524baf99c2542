#include "lowbit/format/checkpoint_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/format/bit_packing.h"
#include "lowbit/io/ggml_type.h"
#include "lowbit/io/read_tensor.h"

namespace lowbit {
namespace {

// Words of an int32 matrix; both dimensions are checked.
struct Words {
  std::vector<uint32_t> at;
  int64_t rows, cols;
};

Words ReadWords(const TensorSource& source, const std::string& name) {
  const TensorView view = source.Get(name);
  if (view.type != StoredType(DType::kI32) || view.shape.size() != 2) {
    Fail("{}: tensor {} is {} ({}), an I32 matrix is needed", source.Where(), name, NameOf(view.type),
         fmt::join(view.shape, " x "));
  }
  Words words{std::vector<uint32_t>(view.bytes.size() / sizeof(uint32_t)), view.shape[0], view.shape[1]};
  if (!view.bytes.empty()) std::memcpy(words.at.data(), view.bytes.data(), view.bytes.size());
  return words;
}

void CheckShape(const TensorSource& source, const std::string& name, const std::vector<int64_t>& expected) {
  const std::vector<int64_t> shape = source.Get(name).shape;
  if (shape != expected) {
    Fail("{}: tensor {} is ({}), ({}) is needed", source.Where(), name, fmt::join(shape, " x "),
         fmt::join(expected, " x "));
  }
}

// Scales of a file as (rows, groups); `name` is [groups, rows] where transposed.
std::vector<float> Transpose(const std::vector<float>& from, int64_t rows, int64_t cols) {
  std::vector<float> out(from.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c)
      out[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * cols + c)];
  }
  return out;
}

void FillGroups(CheckpointMatrix& m, int64_t group_size) {
  m.group.resize(static_cast<size_t>(m.cols));
  for (size_t i = 0; i < m.group.size(); ++i)
    m.group[i] = static_cast<int32_t>(static_cast<int64_t>(i) / group_size);
}

// Reads g_idx; false when every entry is -1, which some writers use for "in order".
bool ReadGroups(const TensorSource& source, const std::string& name, CheckpointMatrix& m) {
  CheckShape(source, name, {m.cols});
  const std::vector<int64_t> group = ReadIntegers(source, name);
  if (std::all_of(group.begin(), group.end(), [](int64_t g) { return g == -1; })) return false;
  m.group.resize(group.size());
  for (size_t i = 0; i < group.size(); ++i) {
    if (group[i] < 0 || group[i] >= m.groups) {
      Fail("{}: tensor {} puts column {} into group {} of {}", source.Where(), name, i, group[i], m.groups);
    }
    m.group[i] = static_cast<int32_t>(group[i]);
  }
  return true;
}

// Groups of in / G columns; the last may be short only when a size is given.
void InferGroups(const TensorSource& source, const std::string& name, CheckpointMatrix& m) {
  if (m.groups == 0 || m.cols % m.groups != 0) {
    Fail("{}: tensor {} has {} groups, which do not divide {} columns", source.Where(), name, m.groups,
         m.cols);
  }
  FillGroups(m, m.cols / m.groups);
}

using Version = GptqLayout::Version;

PackingUnit UnitOf(int bits, Version version) {
  return version == Version::kPlanar ? PackingUnit{32, bits} : PackingUnitOf(bits);
}

void Unpack(std::span<const uint32_t> words, int bits, Version version, std::span<uint8_t> codes) {
  if (version == Version::kPlanar) {
    UnpackPlanes(words, bits, codes);
  } else {
    UnpackStream(words, bits, codes);
  }
}

void Pack(std::span<const uint8_t> codes, int bits, Version version, std::span<uint32_t> words) {
  if (version == Version::kPlanar) {
    PackPlanes(codes, bits, words);
  } else {
    PackStream(codes, bits, words);
  }
}

}  // namespace

std::vector<float> Dequantize(const CheckpointMatrix& m) {
  std::vector<float> out(m.codes.size());
  ThreadPool::Global().Run(m.rows, [&](int64_t row, int) {
    const auto first = static_cast<size_t>(row * m.cols), groups = static_cast<size_t>(row * m.groups);
    for (size_t i = 0; i < static_cast<size_t>(m.cols); ++i) {
      const size_t g = groups + static_cast<size_t>(m.group[i]);
      out[first + i] = m.scales[g] * static_cast<float>(m.codes[first + i] - m.zeros[g]);
    }
  });
  return out;
}

CheckpointMatrix ReadGptq(const TensorSource& source, const std::string& prefix, const GptqLayout& layout) {
  const int bits = layout.bits;
  if (bits < 2 || bits > 8)
    Fail("{}: {} is said to have {} bits; GPTQ has 2 to 8", source.Where(), prefix, bits);
  const Words weight = ReadWords(source, prefix + ".qweight");
  const PackingUnit unit = UnitOf(bits, layout.version);
  if (weight.rows % unit.words != 0) {
    Fail("{}: tensor {}.qweight has {} rows, whole runs of {} are needed for {} bits", source.Where(), prefix,
         weight.rows, unit.words, bits);
  }
  CheckpointMatrix m;
  m.bits = bits;
  m.rows = weight.cols;
  m.cols = weight.rows / unit.words * unit.codes;
  const std::string scales = prefix + ".scales", zeros = prefix + ".qzeros", group = prefix + ".g_idx";
  const std::vector<int64_t> scales_shape = source.Get(scales).shape;
  m.groups = scales_shape.empty() ? 0 : scales_shape[0];
  CheckShape(source, scales, {m.groups, m.rows});
  m.scales = Transpose(ReadFloats(source, scales), m.groups, m.rows);

  m.codes.resize(static_cast<size_t>(m.rows * m.cols));
  ThreadPool::Global().Run(m.cols / unit.codes, [&](int64_t block, int) {
    std::array<uint32_t, 8> run;
    const auto words = std::span(run).first(static_cast<size_t>(unit.words));
    for (int64_t o = 0; o < m.rows; ++o) {
      for (int64_t w = 0; w < unit.words; ++w) {
        run[static_cast<size_t>(w)] =
            weight.at[static_cast<size_t>((block * unit.words + w) * weight.cols + o)];
      }
      Unpack(words, bits, layout.version,
             std::span(m.codes).subspan(static_cast<size_t>(o * m.cols + block * unit.codes),
                                        static_cast<size_t>(unit.codes)));
    }
  });

  const Words packed_zeros = ReadWords(source, zeros);
  if (m.rows % unit.codes != 0) {
    Fail("{}: {} has {} outputs, a multiple of {} is needed for {} bits", source.Where(), prefix, m.rows,
         unit.codes, bits);
  }
  CheckShape(source, zeros, {m.groups, m.rows / unit.codes * unit.words});
  m.zeros.resize(static_cast<size_t>(m.rows * m.groups));
  std::vector<uint8_t> fields(static_cast<size_t>(m.rows));
  const int plus = layout.version == Version::kV1 ? 1 : 0, mask = (1 << bits) - 1;
  for (int64_t g = 0; g < m.groups; ++g) {
    Unpack(std::span(packed_zeros.at)
               .subspan(static_cast<size_t>(g * packed_zeros.cols), static_cast<size_t>(packed_zeros.cols)),
           bits, layout.version, fields);
    for (int64_t o = 0; o < m.rows; ++o) {
      m.zeros[static_cast<size_t>(o * m.groups + g)] = (fields[static_cast<size_t>(o)] + plus) & mask;
    }
  }

  if (source.Has(group) && ReadGroups(source, group, m)) return m;
  const int64_t size = layout.group_size > 0 ? layout.group_size : m.cols;
  if (m.groups != (m.cols + size - 1) / std::max<int64_t>(size, 1)) {
    Fail("{}: tensor {} has {} groups, a group size of {} on {} columns needs {}", source.Where(), scales,
         m.groups, size, m.cols, (m.cols + size - 1) / std::max<int64_t>(size, 1));
  }
  FillGroups(m, std::max<int64_t>(size, 1));
  return m;
}

CheckpointMatrix ReadAwq(const TensorSource& source, const std::string& prefix) {
  const std::string scales = prefix + ".scales", zeros = prefix + ".qzeros";
  const Words weight = ReadWords(source, prefix + ".qweight"), packed_zeros = ReadWords(source, zeros);
  CheckpointMatrix m;
  m.bits = 4;
  m.rows = weight.cols * 8;
  m.cols = weight.rows;
  m.groups = packed_zeros.rows;
  CheckShape(source, zeros, {m.groups, weight.cols});
  CheckShape(source, scales, {m.groups, m.rows});
  m.scales = Transpose(ReadFloats(source, scales), m.groups, m.rows);
  m.codes.resize(static_cast<size_t>(m.rows * m.cols));
  m.zeros.resize(static_cast<size_t>(m.rows * m.groups));
  // A task takes the eight outputs of one column of words.
  ThreadPool::Global().Run(weight.cols, [&](int64_t w, int) {
    std::array<uint8_t, 8> fields;
    const auto unpack = [&](const Words& words, int64_t row) {
      UnpackAwq(std::span(words.at).subspan(static_cast<size_t>(row * words.cols + w), 1), fields);
    };
    for (int64_t i = 0; i < m.cols; ++i) {
      unpack(weight, i);
      for (int64_t k = 0; k < 8; ++k)
        m.codes[static_cast<size_t>((8 * w + k) * m.cols + i)] = fields[static_cast<size_t>(k)];
    }
    for (int64_t g = 0; g < m.groups; ++g) {
      unpack(packed_zeros, g);
      for (int64_t k = 0; k < 8; ++k)
        m.zeros[static_cast<size_t>((8 * w + k) * m.groups + g)] = fields[static_cast<size_t>(k)];
    }
  });
  InferGroups(source, scales, m);
  return m;
}

CheckpointMatrix ReadCompressedTensors(const TensorSource& source, const std::string& prefix, int bits) {
  if (bits < 1 || bits > 8)
    Fail("{}: {} is said to have {} bits; 1 to 8 are packed", source.Where(), prefix, bits);
  const std::string packed = prefix + ".weight_packed", shape = prefix + ".weight_shape",
                    scale = prefix + ".weight_scale", zero = prefix + ".weight_zero_point",
                    group = prefix + ".weight_g_idx";
  const Words weight = ReadWords(source, packed);
  CheckShape(source, shape, {2});
  const std::vector<int64_t> size = ReadIntegers(source, shape);
  CheckpointMatrix m;
  m.bits = bits;
  m.rows = size[0];
  m.cols = size[1];
  const int64_t fields = 32 / bits;
  // The packed words bound the columns before anything is allocated for them.
  if (m.rows != weight.rows || m.cols < 0 || m.cols > weight.cols * 32) {
    Fail("{}: tensor {} says {} x {}, {} is ({} x {})", source.Where(), shape, m.rows, m.cols, packed,
         weight.rows, weight.cols);
  }
  const bool stream = weight.cols == (m.cols * bits + 31) / 32;
  if (!stream && weight.cols != (m.cols + fields - 1) / fields) {
    Fail("{}: tensor {} has {} columns, {} codes of {} bits need {}", source.Where(), packed, weight.cols,
         m.cols, bits, (m.cols * bits + 31) / 32);
  }
  m.codes.resize(static_cast<size_t>(m.rows * m.cols));
  ThreadPool::Global().Run(m.rows, [&](int64_t o, int) {
    const auto words =
        std::span(weight.at).subspan(static_cast<size_t>(o * weight.cols), static_cast<size_t>(weight.cols));
    const auto codes =
        std::span(m.codes).subspan(static_cast<size_t>(o * m.cols), static_cast<size_t>(m.cols));
    if (stream) {
      UnpackStream(words, bits, codes);
    } else {
      UnpackFields(words, bits, codes);
    }
  });

  const std::vector<int64_t> scale_shape = source.Get(scale).shape;
  m.groups = scale_shape.size() == 2 ? scale_shape[1] : 1;
  if (scale_shape.size() == 2) CheckShape(source, scale, {m.rows, m.groups});
  m.scales = ReadFloats(source, scale);
  if (m.scales.size() != static_cast<size_t>(m.rows * m.groups)) {
    Fail("{}: tensor {} has {} values, one or more for each of {} rows are needed", source.Where(), scale,
         m.scales.size(), m.rows);
  }

  const int32_t middle = 1 << (bits - 1);  // what a symmetric code of 0 is stored as
  m.zeros.assign(static_cast<size_t>(m.rows * m.groups), middle);
  if (source.Has(zero)) {
    const TensorView view = source.Get(zero);
    if (view.type == StoredType(DType::kI32)) {
      const Words words = ReadWords(source, zero);
      const int64_t needed = stream ? (m.rows * bits + 31) / 32 : (m.rows + fields - 1) / fields;
      if (words.cols != m.groups || words.rows != needed) {
        Fail("{}: tensor {} is ({}), ({} x {}) is needed", source.Where(), zero, fmt::join(view.shape, " x "),
             needed, m.groups);
      }
      std::vector<uint32_t> column(static_cast<size_t>(words.rows));
      std::vector<uint8_t> codes(static_cast<size_t>(m.rows));
      for (int64_t g = 0; g < m.groups; ++g) {
        for (size_t r = 0; r < column.size(); ++r) {
          column[r] = words.at[r * static_cast<size_t>(words.cols) + static_cast<size_t>(g)];
        }
        if (stream) {
          UnpackStream(column, bits, codes);
        } else {
          UnpackFields(column, bits, codes);
        }
        for (int64_t o = 0; o < m.rows; ++o) {
          m.zeros[static_cast<size_t>(o * m.groups + g)] = codes[static_cast<size_t>(o)];
        }
      }
    } else {
      const std::vector<int64_t> values = ReadIntegers(source, zero);
      if (values.size() != m.zeros.size()) {
        Fail("{}: tensor {} has {} values, {} are needed", source.Where(), zero, values.size(),
             m.zeros.size());
      }
      for (size_t k = 0; k < values.size(); ++k) {
        if (values[k] < -middle || values[k] >= middle) {
          Fail("{}: tensor {} has the zero point {}, {} bits hold {} to {}", source.Where(), zero, values[k],
               bits, -middle, middle - 1);
        }
        m.zeros[k] = static_cast<int32_t>(values[k]) + middle;
      }
    }
  }
  if (source.Has(group) && ReadGroups(source, group, m)) return m;
  InferGroups(source, scale, m);
  return m;
}

bool HasZeroPoint0(const CheckpointMatrix& m) {
  return std::find(m.zeros.begin(), m.zeros.end(), 0) != m.zeros.end();
}

GptqTensors PackGptq(const CheckpointMatrix& m, Version version) {
  const PackingUnit unit = UnitOf(m.bits, version);
  if (m.rows % unit.codes != 0 || m.cols % unit.codes != 0) {
    Fail("a matrix of {} x {} is not written as GPTQ with {} bits: both must be multiples of {}", m.rows,
         m.cols, m.bits, unit.codes);
  }
  GptqTensors t;
  const int64_t word_rows = m.cols / unit.codes * unit.words, word_cols = m.rows / unit.codes * unit.words;
  t.qweight_shape = {word_rows, m.rows};
  t.qzeros_shape = {m.groups, word_cols};
  t.scales_shape = {m.groups, m.rows};
  t.g_idx_shape = {m.cols};
  t.g_idx = m.group;

  t.qweight.resize(static_cast<size_t>(word_rows * m.rows));
  ThreadPool::Global().Run(m.cols / unit.codes, [&](int64_t block, int) {
    std::array<uint32_t, 8> run;
    const auto words = std::span(run).first(static_cast<size_t>(unit.words));
    for (int64_t o = 0; o < m.rows; ++o) {
      Pack(std::span(m.codes).subspan(static_cast<size_t>(o * m.cols + block * unit.codes),
                                      static_cast<size_t>(unit.codes)),
           m.bits, version, words);
      for (int64_t w = 0; w < unit.words; ++w) {
        t.qweight[static_cast<size_t>((block * unit.words + w) * m.rows + o)] =
            static_cast<int32_t>(run[static_cast<size_t>(w)]);
      }
    }
  });

  t.qzeros.resize(static_cast<size_t>(m.groups * word_cols));
  t.scales.resize(static_cast<size_t>(m.groups * m.rows));
  const int minus = version == Version::kV1 ? 1 : 0, mask = (1 << m.bits) - 1;
  std::vector<uint8_t> fields(static_cast<size_t>(m.rows));
  std::vector<uint32_t> words(static_cast<size_t>(word_cols));
  for (int64_t g = 0; g < m.groups; ++g) {
    for (int64_t o = 0; o < m.rows; ++o) {
      const auto at = static_cast<size_t>(o * m.groups + g);
      const int32_t zero = m.zeros[at];
      if (zero < 0 || zero > mask) Fail("the zero point {} of row {} does not fit {} bits", zero, o, m.bits);
      fields[static_cast<size_t>(o)] = static_cast<uint8_t>((zero - minus) & mask);
      const uint16_t scale = FloatToF16(m.scales[at]);
      if ((scale & 0x7c00) == 0x7c00 || ((scale & 0x7fff) == 0 && m.scales[at] != 0)) {
        Fail("the scale {} of row {} does not fit f16", m.scales[at], o);
      }
      t.scales[static_cast<size_t>(g * m.rows + o)] = scale;
    }
    Pack(fields, m.bits, version, words);
    for (size_t w = 0; w < words.size(); ++w) {
      t.qzeros[static_cast<size_t>(g * word_cols) + w] = static_cast<int32_t>(words[w]);
    }
  }
  return t;
}

}  // namespace lowbit
