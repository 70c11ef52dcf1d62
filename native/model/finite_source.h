#pragma once

#include <string>

#include "core/tensor.h"

namespace grok::model {

// A tensor's bytes, checked while a backend reads them: a NaN or an infinity throws bad_checkpoint with its position.
// Reads cover whole elements, f32 or bf16. Safe from several threads.
class FiniteSource final : public ByteSource {
 public:
  // `where` names the file and the tensor, `values` their meaning: "scales".
  FiniteSource(const TensorView& stored, std::string where, const char* values);

  // The tensor with checked reads. Valid as long as this object.
  TensorView view() const;

  void read(std::uint64_t offset, std::span<std::byte> out) const override;
  void fetch(std::uint64_t offset, std::uint64_t size_bytes) const override;
  void drop(std::uint64_t offset, std::uint64_t size_bytes) const override;

 private:
  [[noreturn]] void refuse(std::uint64_t element, float value) const;

  const TensorView& stored_;
  const std::string where_;
  const char* const values_;
};

}  // namespace grok::model
