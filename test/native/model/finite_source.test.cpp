#include "model/finite_source.h"

#include <limits>

#include "support/made_up.h"
#include "testing.h"

using namespace grok;
using namespace grok::model;
using namespace grok::testing;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Reads elements [first, last) of a [2, 3] tensor.
template <typename Value>
void read_part(const std::vector<Value>& values, DType dtype, std::size_t first, std::size_t last) {
  const Bytes bytes(values);
  const TensorView stored{.dtype = dtype, .shape = {2, 3}, .source = &bytes};
  const FiniteSource source(stored, "file: name", "values");
  std::vector<std::byte> out((last - first) * sizeof(Value));
  source.view().read(first * sizeof(Value), out);
}

void read_floats(const std::vector<float>& values, std::size_t first = 0, std::size_t last = 6) {
  read_part(values, DType::f32, first, last);
}

}  // namespace

TEST("names the file, the tensor, the number and its place") {
  CHECK_ERROR(read_floats({1, 2, 3, 4, kNan, 6}), ErrorCode::bad_checkpoint,
              "file: name: expected finite values, found NaN at [1, 1]");
  CHECK_ERROR(read_floats({1, 2, -kInfinity, kNan, 5, 6}), ErrorCode::bad_checkpoint, "found -infinity at [0, 2]");
  CHECK_ERROR(read_floats({1, 2, 3, 4, 5, -kNan}), ErrorCode::bad_checkpoint, "found NaN at [1, 2]");
  CHECK_ERROR(read_part<std::uint16_t>({0, 0, 0x7F80, 0, 0, 0}, DType::bf16, 0, 6), ErrorCode::bad_checkpoint,
              "found infinity at [0, 2]");
  CHECK_ERROR(read_part<std::uint16_t>({0, 0, 0, 0xFF81, 0, 0}, DType::bf16, 0, 6), ErrorCode::bad_checkpoint,
              "found NaN at [1, 0]");
}

TEST("a part that is read by itself has its own place in the tensor") {
  CHECK_ERROR(read_floats({1, 2, 3, 4, 5, kInfinity}, 4, 6), ErrorCode::bad_checkpoint, "found infinity at [1, 2]");
  read_floats({kNan, 2, 3, 4, 5, kNan}, 1, 5);
}

TEST("a tensor that starts in the middle of its file has its own places") {
  const std::vector<float> file = {kNan, kNan, 1, 2, 3, kNan};
  const Bytes bytes(file);
  const TensorView stored{.shape = {4}, .source = &bytes, .offset = 2 * sizeof(float)};
  const FiniteSource source(stored, "file: name", "values");
  std::vector<std::byte> out(stored.size_bytes());
  CHECK_ERROR(source.view().read(0, out), ErrorCode::bad_checkpoint, "found NaN at [3]");
  // Rows 0 and 2 of one number each.
  source.view().read_rows(0, 2 * sizeof(float), sizeof(float), 2, std::span(out).first(2 * sizeof(float)));
}

TEST("takes every finite number: the largest, denormal ones and a negative zero") {
  const float largest = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();
  read_floats({largest, -largest, least, -least, 0.0f, -0.0f});
  read_part<std::uint16_t>({0x7F7F, 0xFF7F, 1, 0x8001, 0, 0x8000}, DType::bf16, 0, 6);
}

TEST_MAIN()
