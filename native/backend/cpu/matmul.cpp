#include "backend/cpu/matmul.h"

#include <algorithm>
#include <cstring>

namespace grok {
namespace {

// Multiply-adds below which a loop stays on one thread: some 20 microseconds' work, a few times the cost of handing out
// indices to threads that are awake. Shared out smaller, the loops of the embedded model wait for a thread that lost its
// core: beside one busy process on two cores it decoded 1,240 tokens/s with 150'000 and 1,640 with this.
constexpr std::size_t kMinParallelWork = 500'000;

}  // namespace

Panels pack_rows(std::span<const float* const> rows, int width, Scratch& scratch, ThreadPool& pool) {
  Panels panels(int(rows.size()), width, scratch);
  const auto pack = [&](std::size_t panel) {
    const int num_rows = panels.rows_of(int(panel));
    float* out = panels.panel(int(panel));
    for (int row = 0; row < num_rows; ++row) {
      const float* x = rows[panel * kPanelTokens + row];
      for (int i = 0; i < width; ++i) out[std::size_t(i) * num_rows + row] = x[i];
    }
  };
  if (rows.size() * width < kMinParallelWork)
    for (int panel = 0; panel < panels.num_panels(); ++panel) pack(panel);
  else
    pool.parallel_for(panels.num_panels(), pack);
  return panels;
}

Panels pack_rows(const float* x, int num_rows, int width, Scratch& scratch, ThreadPool& pool) {
  std::vector<const float*> rows(num_rows);
  for (int row = 0; row < num_rows; ++row) rows[row] = x + std::size_t(row) * width;
  return pack_rows(rows, width, scratch, pool);
}

void for_each_task(std::size_t count, std::size_t multiply_adds, ThreadPool& pool,
                   const std::function<void(std::size_t)>& body) {
  if (count * multiply_adds >= kMinParallelWork) return pool.parallel_for(count, body);
  for (std::size_t task = 0; task < count; ++task) body(task);
}

void multiply(std::span<const Product> products, const Kernels& kernels, ThreadPool& pool) {
  std::size_t num_tasks = 0, multiply_adds = 0;
  for (const Product& product : products) {
    num_tasks += product.matrix->num_strips;
    multiply_adds = std::max(multiply_adds, std::size_t(product.matrix->d_in) * kStrip * product.x->num_rows);
  }
  for_each_task(num_tasks, multiply_adds, pool, [&](std::size_t task) {
    const Product* product = products.data();
    for (; task >= std::size_t(product->matrix->num_strips); ++product) task -= product->matrix->num_strips;
    const PackedMatrix& matrix = *product->matrix;
    const int strip = int(task);
    const int num_columns = std::min(kStrip, matrix.d_out - strip * kStrip);

    for (int panel = 0; panel < product->x->num_panels(); ++panel) {
      alignas(64) float sums[kPanelTokens * kStrip];  // [rows, kStrip]
      strip_times_panel(matrix, product->expert, strip, *product->x, panel, sums, kernels);
      for (int row = 0; row < product->x->rows_of(panel); ++row)
        std::memcpy(product->out + std::size_t(panel * kPanelTokens + row) * matrix.d_out + std::size_t(strip) * kStrip,
                    sums + row * kStrip, num_columns * sizeof(float));
    }
  });
}

}  // namespace grok
