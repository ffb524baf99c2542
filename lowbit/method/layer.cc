#include "lowbit/method/layer.h"

#include <chrono>
#include <optional>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/format/float_grid.h"
#include "lowbit/method/rtn.h"
#include "lowbit/model/stored_form.h"
#include "lowbit/quantize/ggml_groups.h"
#include "lowbit/quantize/output_error.h"

namespace lowbit {
namespace {

// Shrink steps of the range search, 1 % each (the reference's default).
constexpr int kShrinkSteps = 80;

GridOptions GridOf(const PackedFormat& format, bool search, double norm) {
  return {.bits = format.bits,
          .kind = format.offset == OffsetKind::kCentre ? GridKind::kSymmetric : GridKind::kAsymmetric,
          .shrink_steps = search ? kShrinkSteps : 0,
          .norm = norm};
}

// Codes (rows, cols) with stored column j the original column order[j]; an empty order is the natural one.
std::vector<uint8_t> InStoredOrder(const std::vector<uint8_t>& codes, int64_t rows, int64_t cols,
                                   std::span<const int32_t> order) {
  if (order.empty()) return codes;
  std::vector<uint8_t> stored(codes.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) stored[r * cols + c] = codes[r * cols + order[c]];
  }
  return stored;
}

// Affine codes as a stored matrix. With `order`, stored column j is original column order[j] and groups are
// runs of stored columns.
QuantizedMatrix ToStored(const AffineCodes& codes, const PackedFormat& format, std::vector<int32_t> order) {
  QuantizedMatrix m{.format = format, .rows = codes.rows, .cols = codes.cols};
  m.codes = InStoredOrder(codes.codes, codes.rows, codes.cols, order);
  m.order = std::move(order);
  for (const float scale : codes.scales) m.scale.push_back(FloatToF16(scale));
  if (format.offset == OffsetKind::kZeroPoint) m.zero = codes.zeros;
  return m;
}

// The GGUF grid of a format with two levels of scales or with f16 minima; nothing for the affine formats.
std::optional<GgmlGridType> GgmlTypeOf(const PackedFormat& f) {
  if (f.offset == OffsetKind::kMinF16) return f.bits == 4 ? GgmlGridType::kQ4_1 : GgmlGridType::kQ5_1;
  if (f.scale != ScaleKind::kSuper) return std::nullopt;
  switch (f.bits) {
    case 2:
      return GgmlGridType::kQ2_K;
    case 3:
      return GgmlGridType::kQ3_K;
    case 4:
      return GgmlGridType::kQ4_K;
    case 5:
      return GgmlGridType::kQ5_K;
    default:
      return GgmlGridType::kQ6_K;
  }
}

QuantizedMatrix ToStored(const GgmlCodes& codes, const PackedFormat& format) {
  QuantizedMatrix m{.format = format, .rows = codes.rows, .cols = codes.cols, .codes = codes.codes};
  for (const float d : codes.d)
    (format.scale == ScaleKind::kSuper ? m.super : m.scale).push_back(FloatToF16(d));
  if (format.scale == ScaleKind::kSuper) m.sub_scale = codes.scale;
  if (format.offset == OffsetKind::kSuperMin) m.zero = codes.min;
  for (const float d : codes.dmin) {
    if (format.offset == OffsetKind::kSuperMin) m.super_min.push_back(FloatToF16(d));
    if (format.offset == OffsetKind::kMinF16) m.min.push_back(FloatToF16(-d));
  }
  return m;
}

// The byte of a scale that is exactly in the format.
uint8_t ByteOfScale(ScaleKind kind, float scale, float tensor_scale) {
  if (kind == ScaleKind::kE8M0) return E8M0OfExponent(FloorLog2(scale));
  static const Table e4m3 = FloatTable(FloatGrid::Standard(4, 3));
  return RoundToCode(e4m3, scale / tensor_scale);
}

QuantizedMatrix ToStored(const TableCodes& codes, const PackedFormat& format, std::vector<int32_t> order) {
  QuantizedMatrix m{.format = format, .rows = codes.rows, .cols = codes.cols};
  m.codes = InStoredOrder(codes.codes, codes.rows, codes.cols, order);
  m.order = std::move(order);
  m.tensor_scale = codes.tensor_scale;
  for (const float scale : codes.scales) {
    if (format.scale == ScaleKind::kF16) {
      m.scale.push_back(FloatToF16(scale));
    } else {
      m.scale_code.push_back(ByteOfScale(format.scale, scale, codes.tensor_scale));
    }
  }
  return m;
}

double Trace(const std::vector<double>& rows) {
  double sum = 0;
  for (double x : rows) sum += x;
  return sum;
}

void MeasureErrors(MatrixView<const float> w, const QuantizedMatrix& m, const LayerInputs& inputs,
                   ThreadPool& pool, LayerReport& report) {
  const bool have_hessian = inputs.hessian.data != nullptr;
  Buffer<float> difference(have_hessian ? static_cast<size_t>(w.rows * w.cols) : 0);
  std::vector<double> error(w.rows), energy(w.rows);
  pool.Run(w.rows, [&](int64_t r, int) {
    std::vector<float> row(static_cast<size_t>(w.cols));
    m.DequantizeRow(r, row.data());
    for (int64_t c = 0; c < w.cols; ++c) {
      const int64_t column = m.order.empty() ? c : m.order[c];
      const float d = w(r, column) - row[c];
      if (have_hessian) difference[r * w.cols + column] = d;
      error[r] += double{d} * d;
      energy[r] += double{w(r, column)} * w(r, column);
    }
  });
  const double total = Trace(energy);
  report.weight_error = total > 0 ? Trace(error) / total : 0;
  if (!have_hessian) return;
  const double output = Trace(OutputError<float>(w, inputs.hessian, pool));
  const MatrixView<const float> d(difference.data(), w.rows, w.cols);
  report.output_error = output > 0 ? Trace(OutputError<float>(d, inputs.hessian, pool)) / output : 0;
}

}  // namespace

Method ParseMethod(const std::string& name) {
  for (const Method method : {Method::kRtn, Method::kMse, Method::kImatrix, Method::kGptq}) {
    if (NameOf(method) == name) return method;
  }
  FailUsage("\"{}\" is not a method; known: rtn, mse, imatrix, gptq", name);
}

std::string NameOf(Method method) {
  switch (method) {
    case Method::kRtn:
      return "rtn";
    case Method::kMse:
      return "mse";
    case Method::kImatrix:
      return "imatrix";
    case Method::kGptq:
      return "gptq";
  }
  return "?";
}

StatisticsNeeded NeedsOf(Method method) {
  if (method == Method::kGptq) return StatisticsNeeded::kHessian;
  return method == Method::kImatrix ? StatisticsNeeded::kImportance : StatisticsNeeded::kNone;
}

namespace {

// The matrix of one layer by the method asked for; what happened goes to the report.
QuantizedMatrix Solve(MatrixView<const float> w, const PackedFormat& format, const LayerOptions& options,
                      const LayerInputs& inputs, ThreadPool& pool, LayerReport& report) {
  const std::optional<GgmlGridType> ggml = GgmlTypeOf(format);
  CheckFinite(w);
  if (ggml && w.cols % GridOf(*ggml).block != 0) {
    Fail("{} needs rows of a multiple of {} columns, this layer has {}", NameOf(format), GridOf(*ggml).block,
         w.cols);
  }
  if (options.method == Method::kGptq && inputs.hessian.data == nullptr) Fail("GPTQ needs calibration data");
  std::span<const float> importance;
  if (options.method == Method::kImatrix) {
    if (inputs.importance.empty()) Fail("importance-weighted rounding needs calibration data or an imatrix");
    importance = inputs.importance;
  }
  const auto describe = [&](const GptqReport& solved) {
    report.damping = solved.damping;
    if (solved.fell_back) report.note = "rounded to nearest: " + solved.reason;
    if (solved.dead_columns > 0) {
      report.note += fmt::format("{}{} dead columns", report.note.empty() ? "" : "; ", solved.dead_columns);
    }
  };
  const auto stored_order = [&](const GptqReport& solved) {
    const bool ordered = options.order == ColumnOrder::kActivation && format.group != 0 && !solved.fell_back;
    return ordered ? solved.permutation : std::vector<int32_t>();
  };
  if (format.alphabet) {
    ScalarFormat table = ScalarFormatOf(format);
    if (options.method == Method::kRtn && table.rule == ScaleRule::kSquaredError)
      table.rule = ScaleRule::kAbsMax;
    if (options.method == Method::kGptq) {
      GptqTableOptions gptq{.format = table, .order = options.order};
      gptq.damping.relative = options.damping;
      const GptqTableResult solved = SolveGptqTable(w, inputs.hessian, gptq, pool);
      describe(solved);
      return ToStored(solved.matrix, format, stored_order(solved));
    }
    CheckFinite(w);
    return ToStored(RoundToTable(w, table, importance, pool), format, {});
  }
  if (options.method == Method::kGptq) {
    if (ggml) {
      GptqGgmlOptions gptq{.type = *ggml};
      gptq.order = options.order == ColumnOrder::kGroupAware ? ColumnOrder::kGroupAware : ColumnOrder::kNone;
      gptq.damping.relative = options.damping;
      const GptqGgmlResult solved = SolveGptqGgml<float>(w, inputs.hessian, gptq, pool);
      describe(solved);
      return ToStored(solved.matrix, format);
    }
    GptqOptions gptq{
        .grid = GridOf(format, options.search, 2.4), .group = format.group, .order = options.order};
    gptq.search_weight = SearchWeight::kHessianDiagonal;
    gptq.damping.relative = options.damping;
    const GptqResult solved = SolveGptq<float>(w, inputs.hessian, gptq, pool);
    describe(solved);
    return ToStored(solved.matrix, format, stored_order(solved));
  }
  if (ggml)
    return ToStored(RoundToGgml<float>(w, *ggml, importance, GgmlEmphasis::kImportance, pool), format);
  const bool search = options.method != Method::kRtn;
  const RtnOptions rtn{.grid = GridOf(format, search, options.method == Method::kMse ? 2.4 : 2.0),
                       .group = format.group};
  return ToStored(RoundToNearest<float>(w, rtn, importance, pool), format, {});
}

}  // namespace

LayerResult QuantizeLayer(const std::string& name, MatrixView<const float> w, const PackedFormat& format,
                          const LayerOptions& options, const LayerInputs& inputs, ThreadPool& pool) {
  const auto start = std::chrono::steady_clock::now();
  LayerResult result;
  LayerReport& report = result.report;
  report = {.name = name,
            .format = NameOf(format),
            .method = NameOf(options.method),
            .rows = w.rows,
            .cols = w.cols,
            .tokens = inputs.tokens};
  try {
    result.matrix = Solve(w, format, options, inputs, pool, report);
  } catch (const UsageError&) {
    throw;
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    Fail("{}: {}", name, error.what());
  }
  MeasureErrors(w, result.matrix, inputs, pool, report);
  const double side = result.matrix.order.empty() ? 0 : 4.0 * static_cast<double>(w.cols);
  report.bits = (static_cast<double>(StoredBytesOf(format, w.rows, w.cols)) + side) * 8 /
                (static_cast<double>(w.rows) * static_cast<double>(w.cols));
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace lowbit
