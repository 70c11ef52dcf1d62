#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/param.h"

namespace grok::model {

// The names of the parameters in one kind of checkpoint. No other code knows a name.
class Naming {
 public:
  virtual ~Naming() = default;
  virtual std::string name_of(ParamId id) const = 0;
  // Empty for a name of no parameter. A layer's number must be written as name_of writes it.
  virtual std::optional<ParamId> id_of(std::string_view name) const = 0;
};

}  // namespace grok::model
