#include "backend/cpu/attention.h"

#include <algorithm>
#include <atomic>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/matmul.h"

namespace grok {
namespace {

// Positions are summed up in spans, and the spans then in order: so a token's bits depend on its position alone, and
// threads can share one sequence. A span of one of Grok-1's kv heads is some 20 microseconds' reading.
constexpr int kSpanPages = 4;
constexpr int kSpan = kSpanPages * kPageSize;

// Query rows that go through a page together: enough that reading it costs little beside the arithmetic, and few enough
// that their sums stay in a core's second cache. 48 took 5 to 10 % longer, 192 the same.
constexpr int kBlockRows = 96;

// Tasks for each thread, so that one that lost its core holds up little.
constexpr int kTasksPerThread = 4;

// Consecutive tokens of one sequence.
struct Block {
  int first_token = 0;
  int num_tokens = 0;
  int num_spans = 0;
  float* parts = nullptr;  // [num_kv_heads, num_spans, num_tokens, num_heads, attention_sums]; null: spans share a task

  double work() const { return double(num_tokens) * num_spans; }
};

int tokens_per_block(int num_tokens, int num_q_heads, int num_kv_heads, int enough_tasks) {
  const int most = std::max(1, kBlockRows / (num_q_heads / num_kv_heads));
  return int(std::clamp<std::int64_t>(std::int64_t(num_tokens) * num_kv_heads / enough_tasks, 1, most));
}

// Floats of a worker: sums of a task so far, sums of a span, softmax weights of a page.
std::size_t worker_floats(std::size_t rows_per_block, int head_dim) {
  return rows_per_block * (2 * attention_sums(head_dim) + kPageSize);
}

std::vector<Block> blocks_of(const Batch& batch, int tokens_per_block) {
  std::vector<Block> blocks;
  for (int token = 0; token < batch.num_tokens; ++token) {
    if (blocks.empty() || blocks.back().num_tokens == tokens_per_block ||
        batch.sequences[token] != batch.sequences[token - 1])
      blocks.push_back({.first_token = token});
    Block& block = blocks.back();
    ++block.num_tokens;
    block.num_spans = std::max(block.num_spans, batch.positions[token] / kSpan + 1);
  }
  return blocks;
}

// One kv head of a block, with the query heads that share it.
class BlockHead {
 public:
  BlockHead(const Attention& op, const Block& block, int kv_head)
      : op_(op), block_(block), kv_head_(kv_head), num_heads_(op.num_q_heads / op.num_kv_heads) {}

  // Floats of [num_tokens, num_heads, attention_sums].
  std::size_t num_sums() const { return std::size_t(block_.num_tokens) * num_heads_ * attention_sums(op_.head_dim); }
  float* part(int span) const { return block_.parts + (std::size_t(kv_head_) * block_.num_spans + span) * num_sums(); }

  // sums = those of one span. weights is scratch [num_tokens, num_heads, kPageSize].
  void attend(int span, float* sums, float* weights, const Kernels& kernels) const {
    const Batch& batch = *op_.batch;
    const std::int32_t* positions = batch.positions + block_.first_token;
    const int num_positions = 1 + *std::max_element(positions, positions + block_.num_tokens);
    const std::int32_t* pages = batch.page_tables + std::size_t(batch.sequences[block_.first_token]) * batch.max_pages;
    const auto offset = [&](int position) {
      const std::size_t page = pages[position / kPageSize];
      return (page * op_.num_kv_heads + kv_head_) * kv_head_bytes(op_.kv.type, op_.head_dim);
    };
    std::fill_n(sums, num_sums(), 0.0f);
    for (int first = span * kSpan; first < std::min(num_positions, (span + 1) * kSpan); first += kPageSize) {
      const int next = first + kPageSize;
      kernels.page_attention({.sums = sums,
                              .weights = weights,
                              .q = op_.q + first_row(0) * op_.head_dim,
                              .positions = positions,
                              .keys = op_.kv.keys + offset(first),
                              .values = op_.kv.values + offset(first),
                              .next_keys = next < num_positions ? op_.kv.keys + offset(next) : nullptr,
                              .type = op_.kv.type,
                              .q_stride = std::size_t(op_.num_q_heads) * op_.head_dim,
                              .first_position = first,
                              .num_tokens = block_.num_tokens,
                              .num_heads = num_heads_,
                              .head_dim = op_.head_dim,
                              .scale = op_.scale,
                              .cap = op_.cap});
    }
  }

  void add(float* totals, const float* sums) const {
    for (std::size_t i = 0; i < num_sums(); ++i) totals[i] += sums[i];
  }

  void write_out(const float* totals) const {
    for (int token = 0; token < block_.num_tokens; ++token)
      for (int head = 0; head < num_heads_; ++head, totals += attention_sums(op_.head_dim)) {
        const float* weight_sums = totals + kv_width(op_.head_dim);
        float weight_sum = 0;
        for (int lane = 0; lane < kWeightLanes; ++lane) weight_sum += weight_sums[lane];
        float* out = op_.out + (first_row(token) + head) * op_.head_dim;
        for (int i = 0; i < op_.head_dim; ++i) out[i] = totals[i] / weight_sum;
      }
  }

 private:
  // Of [num_tokens, num_q_heads].
  std::size_t first_row(int token) const {
    return std::size_t(block_.first_token + token) * op_.num_q_heads + std::size_t(kv_head_) * num_heads_;
  }

  const Attention& op_;
  const Block& block_;
  const int kv_head_, num_heads_;
};

// All spans of a kv head, or the one of a block whose spans are tasks of their own.
struct Task {
  const Block* block = nullptr;
  int kv_head = 0;
  int span = 0;
};

}  // namespace

// Blocks whose spans are tasks are those with more than 1 / enough_tasks of the work of all kv heads: fewer of them than
// enough_tasks / num_kv_heads.
std::size_t attention_scratch_bytes(const StepSize& largest, int num_threads) {
  const int enough_tasks = kTasksPerThread * num_threads;
  const std::size_t block_tokens =
      tokens_per_block(largest.num_tokens, largest.num_q_heads, largest.num_kv_heads, enough_tasks);
  const std::size_t most_blocks = (enough_tasks - 1) / largest.num_kv_heads;
  const std::size_t most_tokens = std::min<std::size_t>(largest.num_tokens, most_blocks * block_tokens);
  const std::size_t num_spans = (largest.num_positions + kSpan - 1) / kSpan;
  const std::size_t parts = most_tokens * largest.num_q_heads * num_spans * attention_sums(largest.head_dim);
  const std::size_t rows = block_tokens * (largest.num_q_heads / largest.num_kv_heads);
  return (parts + num_threads * worker_floats(rows, largest.head_dim)) * sizeof(float) +
         (most_blocks + 1) * Scratch::kAlignment;
}

// A task is one kv head of a block of tokens, which go through its pages together. Where such tasks are few, or one is
// longer than a thread's share, each span is a task.
void CpuBackend::attention(const Attention& op) {
  const Batch& batch = *op.batch;
  const int num_heads = op.num_q_heads / op.num_kv_heads;
  const int enough_tasks = kTasksPerThread * pool_.num_threads();
  const int block_tokens = tokens_per_block(batch.num_tokens, op.num_q_heads, op.num_kv_heads, enough_tasks);
  std::vector<Block> blocks = blocks_of(batch, block_tokens);
  double work = 0;
  for (const Block& block : blocks) work += block.work() * op.num_kv_heads;

  scratch_.clear();
  std::vector<Task> tasks, sums_in_parts;
  for (Block& block : blocks) {
    const bool in_parts = block.num_spans > 1 && block.work() * enough_tasks > work;
    if (in_parts) block.parts = scratch_.floats(BlockHead(op, block, 0).num_sums() * op.num_kv_heads * block.num_spans);
    for (int kv_head = 0; kv_head < op.num_kv_heads; ++kv_head) {
      for (int span = 0; span < (in_parts ? block.num_spans : 1); ++span) tasks.push_back({&block, kv_head, span});
      if (in_parts) sums_in_parts.push_back({&block, kv_head});
    }
  }

  // Each worker has its own memory and takes one task after another.
  const std::size_t num_workers = std::min(tasks.size(), std::size_t(pool_.num_threads()));
  const std::size_t most_rows = std::size_t(block_tokens) * num_heads;
  const std::size_t most_sums = most_rows * attention_sums(op.head_dim);
  const std::size_t floats_each = worker_floats(most_rows, op.head_dim);
  float* const workspace = scratch_.floats(num_workers * floats_each);
  std::atomic<std::size_t> next_task{0};
  const double multiply_adds = 2.0 * work * kSpan * num_heads * op.head_dim;
  for_each_task(num_workers, std::size_t(multiply_adds / double(num_workers)), pool_, [&](std::size_t worker) {
    float* const totals = workspace + worker * floats_each;
    float* const sums = totals + most_sums;
    float* const weights = sums + most_sums;
    for (std::size_t index; (index = next_task.fetch_add(1, std::memory_order_relaxed)) < tasks.size();) {
      const Task& task = tasks[index];
      const BlockHead head(op, *task.block, task.kv_head);
      if (task.block->parts) {
        head.attend(task.span, head.part(task.span), weights, kernels_);
        continue;
      }
      head.attend(0, totals, weights, kernels_);
      for (int span = 1; span < task.block->num_spans; ++span) {
        head.attend(span, sums, weights, kernels_);
        head.add(totals, sums);
      }
      head.write_out(totals);
    }
  });

  if (sums_in_parts.empty()) return;
  const std::size_t most_spans = std::size_t(sums_in_parts.front().block->num_spans);
  for_each_task(sums_in_parts.size(), most_spans * most_sums, pool_, [&](std::size_t index) {
    const Task& task = sums_in_parts[index];
    const BlockHead head(op, *task.block, task.kv_head);
    float* const totals = head.part(0);
    for (int span = 1; span < task.block->num_spans; ++span) head.add(totals, head.part(span));
    head.write_out(totals);
  });
}

}  // namespace grok
