// The one way into libtorch: every file of lab/ includes this header, which is precompiled (parsing it costs
// about twelve seconds). Nothing outside lab/ may include it.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
#include <torch/torch.h>
#pragma GCC diagnostic pop
