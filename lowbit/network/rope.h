// Rotary position embeddings (RoFormer) and their context extensions, as functions from a configuration to
// the table of inverse frequencies that the graph holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/graph/graph.h"

namespace lowbit {

// The fields of rope_scaling / rope_parameters in a Hugging Face config.json.
struct RopeConfig {
  std::string type = "default";  // default | linear | dynamic | yarn | llama3 | longrope
  double theta = 10000;
  double factor = 1;
  double partial = 1;            // share of the head that turns
  int64_t original_context = 0;  // original_max_position_embeddings; 0: the model's context
  double attention_factor = 0;   // 0: the type's own formula
  double beta_fast = 32, beta_slow = 1, mscale = 0, mscale_all_dim = 0;  // yarn
  bool truncate = true;                                                  // yarn
  double low_freq_factor = 1, high_freq_factor = 4;                      // llama3
  std::vector<double> short_factor, long_factor;                         // longrope, head_size/2 entries
  std::vector<double> divisors;  // GGUF rope_freqs.weight: inverse frequency i is divided by divisors[i]
};

// inverse_frequency[i] = theta^(-2i/d), d = partial * head_size, changed by the type:
//   linear    / factor
//   dynamic   theta * ((factor n / L) - (factor - 1))^(d/(d-2)) once the context n exceeds L
//   yarn      ramp between 1/factor and 1 over the wavelengths (Peng et al. 2023)
//   llama3    long wavelengths / factor, a smooth step between
//   longrope  / short_factor or long_factor (Ding et al. 2024)
// `context` is the model's max_position_embeddings. Throws Error on an unknown type, naming the known ones.
Rope MakeRope(const RopeConfig& config, int64_t head_size, int64_t context);

// The inverse frequencies in force when `length` positions are in use (differs from Rope::inverse_frequency
// for dynamic and longrope only).
std::vector<double> InverseFrequencies(const Rope& rope, int64_t length);

}  // namespace lowbit
