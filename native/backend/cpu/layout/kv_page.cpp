#include "backend/cpu/layout/kv_page.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/dtype.h"

namespace grok::cpu {
namespace {

// A key or a value in the cache.
struct Vector {
  std::byte* head = nullptr;  // one head's share of a page
  std::size_t first = 0;      // element
  int stride = 1;             // elements
  int width = 0;              // elements written: those from head_dim on are 0
  const KvPlace& place;

  template <typename Element>
  Element& at(int i) const {
    return reinterpret_cast<Element*>(head)[first + std::size_t(i) * stride];
  }
  float& scale() const {
    return reinterpret_cast<float*>(head + kv_head_elements(place.head_dim))[place.position_in_page];
  }
};

std::byte* head_of(std::byte* pages, KvCacheType type, const KvPlace& place) {
  return pages + (std::size_t(place.page) * place.num_heads + place.head) * kv_head_bytes(type, place.head_dim);
}

Vector key_of(const KvPages& kv, const KvPlace& place) {
  return {.head = head_of(kv.keys, kv.type, place),
          .first = key_offset(place.position_in_page, place.head_dim),
          .stride = kKeyGroup,
          .width = place.head_dim,
          .place = place};
}

Vector value_of(const KvPages& kv, const KvPlace& place) {
  return {.head = head_of(kv.values, kv.type, place),
          .first = value_offset(place.position_in_page, place.head_dim),
          .stride = 1,
          .width = kv_width(place.head_dim),
          .place = place};
}

template <typename Element, typename Convert>
void write_elements(const Vector& to, const float* x, const Convert& convert) {
  for (int i = 0; i < to.place.head_dim; ++i) to.at<Element>(i) = convert(x[i]);
  for (int i = to.place.head_dim; i < to.width; ++i) to.at<Element>(i) = Element{};
}

void write(const Vector& to, KvCacheType type, const float* x) {
  switch (type) {
    case KvCacheType::f32: return write_elements<float>(to, x, [](float value) { return value; });
    case KvCacheType::bf16: return write_elements<std::uint16_t>(to, x, f32_to_bf16);
    case KvCacheType::int8: break;
  }
  float largest = 0;
  bool is_finite = true;
  for (int i = 0; i < to.place.head_dim; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    is_finite &= std::isfinite(x[i]);
  }
  // A NaN or infinity makes the whole vector NaN, so that overflow reaches the logits.
  const float scale = is_finite ? largest / 127 : std::numeric_limits<float>::quiet_NaN();
  to.scale() = scale;
  write_elements<std::int8_t>(to, x, [&](float value) {
    return scale > 0 ? std::int8_t(std::clamp(std::rint(value / scale), -127.0f, 127.0f)) : std::int8_t(0);
  });
}

void read(const Vector& from, KvCacheType type, float* x) {
  for (int i = 0; i < from.place.head_dim; ++i) switch (type) {
      case KvCacheType::f32: x[i] = from.at<float>(i); break;
      case KvCacheType::bf16: x[i] = bf16_to_f32(from.at<std::uint16_t>(i)); break;
      case KvCacheType::int8: x[i] = float(from.at<std::int8_t>(i)) * from.scale(); break;
    }
}

}  // namespace

void write_kv(const KvPages& kv, const KvPlace& to, const float* key, const float* value) {
  write(key_of(kv, to), kv.type, key);
  write(value_of(kv, to), kv.type, value);
}

void read_kv(const KvPages& kv, const KvPlace& from, float* key, float* value) {
  read(key_of(kv, from), kv.type, key);
  read(value_of(kv, from), kv.type, value);
}

}  // namespace grok::cpu
