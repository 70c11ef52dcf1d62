#include "backend/cuda/kv_page.h"

#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "core/checked.h"
#include "core/dtype.h"

namespace grok::cuda {

std::uint64_t CudaFootprint::kv_page_bytes(KvCacheType type, int num_kv_heads, int head_dim) const {
  return checked_mul(std::uint64_t(num_kv_heads), kv_head_bytes(type, head_dim));
}

void CudaBackend::read_kv(const ReadKv& op) {
  const std::uint64_t page_bytes = footprint_.kv_page_bytes(op.kv.type, op.num_kv_heads, op.head_dim);
  std::vector<std::byte> page(page_bytes);
  for (const bool is_key : {true, false}) {
    read_bytes(page.data(), (is_key ? op.kv.keys : op.kv.values) + std::size_t(op.page) * page_bytes, page_bytes);
    float* out = is_key ? op.key : op.value;
    for (int head = 0; head < op.num_kv_heads; ++head) {
      const KvHead from = kv_head(page.data(), op.kv.type, 0, head, op.num_kv_heads, op.head_dim);
      for (int i = 0; i < op.head_dim; ++i) switch (op.kv.type) {
          case KvCacheType::f32: *out++ = from.at<float>(op.position_in_page, i); break;
          case KvCacheType::bf16: *out++ = bf16_to_f32(from.at<std::uint16_t>(op.position_in_page, i)); break;
          case KvCacheType::int8:
            *out++ = float(from.at<std::int8_t>(op.position_in_page, i)) * from.scale(op.position_in_page);
            break;
        }
    }
  }
}

}  // namespace grok::cuda
