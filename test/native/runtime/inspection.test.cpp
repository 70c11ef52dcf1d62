#include "runtime/inspection.h"

#include "support/golden.h"
#include "testing.h"

namespace grok::runtime {
namespace {

using testing::golden_path;

TEST("parameters are counted, and those that one token uses") {
  const Inspection inspection = inspect(golden_path("ref-small"), {});
  const model::GrokConfig& config = inspection.config;
  std::uint64_t expert_parameters = 0;
  for (const TensorInfo& tensor : inspection.tensors)
    if (tensor.name.find("/moe/") != std::string::npos) expert_parameters += num_elements(tensor.shape);
  CHECK_EQ(expert_parameters,
           std::uint64_t(3 * config.num_layers * config.num_experts) * std::uint64_t(config.d_model * config.d_ff));
  CHECK_EQ(inspection.num_parameters - inspection.num_active_parameters, expert_parameters / 8 * 6);
}

}  // namespace
}  // namespace grok::runtime

TEST_MAIN()
