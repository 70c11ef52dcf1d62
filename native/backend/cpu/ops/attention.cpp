#include "backend/cpu/ops/attention.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/ops/tasks.h"

namespace grok::cpu {
namespace {

// Positions are accumulated in spans, in order, and the spans as a binary tree: pairs, then pairs of pairs. So a
// token's bits depend on its position alone, and a task can be any branch of the tree.
constexpr int kSpanPages = 4;
constexpr int kSpan = kSpanPages * kPageSize;

// Query rows that share one pass over a page. Enough rows make reading it cheap beside the arithmetic; few rows keep
// their sums in L2. 48 rows took 5 to 10 % longer, 192 the same.
constexpr int kTaskRows = 96;

// Tasks per thread, so that a thread that lost its core delays little.
constexpr int kTasksPerThread = 4;

int enough_tasks(int num_threads) { return num_threads > 1 ? kTasksPerThread * num_threads : 1; }

int tokens_per_block(int num_tokens, int num_q_heads, int num_kv_heads, int enough_tasks) {
  const int most = std::max(1, kTaskRows / (num_q_heads / num_kv_heads));
  return int(std::clamp<std::int64_t>(std::int64_t(num_tokens) * num_kv_heads / enough_tasks, 1, most));
}

// The heads of a page are adjacent, and memory is read fastest front to back.
int most_heads_per_task(int num_kv_heads, int rows_per_head) {
  return std::clamp(kTaskRows / rows_per_head, 1, num_kv_heads);
}

int divided_up(int a, int b) { return (a + b - 1) / b; }

// Floats of a worker: the sums of one span, of two, of four and so on, and the softmax weights of a page.
std::size_t worker_floats(std::size_t rows_per_task, int head_dim, int num_spans) {
  const int num_sums = 1 + std::bit_width(unsigned(num_spans - 1));
  return rows_per_task * (num_sums * attention_sums(head_dim) + kPageSize);
}

// Consecutive tokens of one sequence, and the division of their work.
struct Block {
  int first_token = 0;
  int num_tokens = 0;
  int num_spans = 0;
  int heads_per_task = 0;  // kv heads
  int spans_per_task = 0;  // a power of two
  // [num_parts, num_kv_heads, num_tokens, num_heads, attention_sums]; null if there is one part
  float* parts = nullptr;

  double work() const { return double(num_tokens) * num_spans; }
  int num_parts() const { return divided_up(num_spans, spans_per_task); }

  // Divides the block into at least num_tasks tasks, if there is enough work: by spans first, so that kv heads stay
  // together.
  void divide(int num_tasks, int num_kv_heads, int num_heads) {
    const int most_heads = most_heads_per_task(num_kv_heads, num_tokens * num_heads);
    const int parts_wanted = divided_up(num_tasks, divided_up(num_kv_heads, most_heads));
    spans_per_task = int(parts_wanted == 1 ? std::bit_ceil(unsigned(num_spans))
                                           : std::bit_floor(unsigned(std::max(1, num_spans / parts_wanted))));
    heads_per_task = std::clamp(num_kv_heads * num_parts() / num_tasks, 1, most_heads);
  }
};

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

// Some spans of a block in some of its kv heads, each with the query heads that share it.
class Task {
 public:
  Task(const Attention& op, const Block& block, int first_head, int first_span)
      : op_(op),
        block_(block),
        first_head_(first_head),
        num_heads_(std::min(block.heads_per_task, op.num_kv_heads - first_head)),
        first_span_(first_span),
        q_heads_each_(op.num_q_heads / op.num_kv_heads) {
    const std::int32_t* positions = op.batch->positions + block.first_token;
    const int num_positions = 1 + *std::max_element(positions, positions + block.num_tokens);
    end_ = std::min(num_positions, (first_span + block.spans_per_task) * kSpan);
  }

  // Computes the task. workspace holds worker_floats.
  void run(float* workspace, const Kernels& kernels) const {
    float* const weights = workspace;
    float* const sums = weights + std::size_t(block_.num_tokens) * q_heads_each_ * kPageSize;
    if (block_.parts) return attend(first_span_, block_.spans_per_task, part(first_span_), sums, weights, kernels);
    attend(first_span_, block_.spans_per_task, sums, sums + task_sums(), weights, kernels);
    write_out(sums);
  }

  // Adds up the parts of the block.
  void join() const {
    for (int distance = block_.spans_per_task; distance < block_.num_spans; distance *= 2)
      for (int span = 0; span + distance < block_.num_spans; span += 2 * distance)
        add(part(span), part(span + distance));
    write_out(part(0));
  }

  std::size_t join_adds() const { return block_.num_parts() * task_sums(); }

 private:
  // Floats of one kv head: [num_tokens, q heads of each, attention_sums].
  std::size_t head_sums() const {
    return std::size_t(block_.num_tokens) * q_heads_each_ * attention_sums(op_.head_dim);
  }
  std::size_t task_sums() const { return num_heads_ * head_sums(); }
  float* part(int span) const {
    return block_.parts + (std::size_t(span / block_.spans_per_task) * op_.num_kv_heads + first_head_) * head_sums();
  }
  void add(float* to, const float* from) const {
    for (std::size_t i = 0; i < task_sums(); ++i) to[i] += from[i];
  }

  // sums = those of num_spans spans (a power of two), or of as many as exist. more_sums is for half of them.
  void attend(int first_span, int num_spans, float* sums, float* more_sums, float* weights,
              const Kernels& kernels) const {
    if (num_spans == 1) return attend_span(first_span, sums, weights, kernels);
    const int half = num_spans / 2;
    attend(first_span, half, sums, more_sums, weights, kernels);
    if ((first_span + half) * kSpan >= end_) return;
    attend(first_span + half, half, more_sums, more_sums + task_sums(), weights, kernels);
    add(sums, more_sums);
  }

  void attend_span(int span, float* sums, float* weights, const Kernels& kernels) const {
    std::fill_n(sums, task_sums(), 0.0f);
    for (int position = span * kSpan; position < std::min(end_, (span + 1) * kSpan); position += kPageSize)
      for (int head = 0; head < num_heads_; ++head) {
        const bool is_last_head = head + 1 == num_heads_;
        const int next_position = is_last_head ? position + kPageSize : position,
                  next_head = is_last_head ? 0 : head + 1;
        kernels.page_attention(
            {.sums = sums + head * head_sums(),
             .weights = weights,
             .q = op_.q + first_row(0, head) * op_.head_dim,
             .positions = op_.batch->positions + block_.first_token,
             .keys = op_.kv.keys + offset(position, head),
             .values = op_.kv.values + offset(position, head),
             .next_keys = next_position < end_ ? op_.kv.keys + offset(next_position, next_head) : nullptr,
             .type = op_.kv.type,
             .q_stride = std::size_t(op_.num_q_heads) * op_.head_dim,
             .first_position = position,
             .num_tokens = block_.num_tokens,
             .num_heads = q_heads_each_,
             .head_dim = op_.head_dim,
             .scale = op_.scale,
             .cap = op_.cap});
      }
  }

  // Offset of a head's share of the page of a position.
  std::size_t offset(int position, int head) const {
    const Batch& batch = *op_.batch;
    const std::int32_t* pages = batch.page_tables + std::size_t(batch.sequences[block_.first_token]) * batch.max_pages;
    return (std::size_t(pages[position / kPageSize]) * op_.num_kv_heads + first_head_ + head) *
           kv_head_bytes(op_.kv.type, op_.head_dim);
  }

  // Index in [num_tokens, num_q_heads].
  std::size_t first_row(int token, int head) const {
    return std::size_t(block_.first_token + token) * op_.num_q_heads + std::size_t(first_head_ + head) * q_heads_each_;
  }

  void write_out(const float* sums) const {
    for (int head = 0; head < num_heads_; ++head)
      for (int token = 0; token < block_.num_tokens; ++token)
        for (int i = 0; i < q_heads_each_; ++i, sums += attention_sums(op_.head_dim)) {
          const float* weight_sums = sums + kv_width(op_.head_dim);
          float weight_sum = 0;
          for (int lane = 0; lane < kWeightLanes; ++lane) weight_sum += weight_sums[lane];
          float* out = op_.out + (first_row(token, head) + i) * op_.head_dim;
          for (int column = 0; column < op_.head_dim; ++column) out[column] = sums[column] / weight_sum;
        }
  }

  const Attention& op_;
  const Block& block_;
  const int first_head_, num_heads_;
  const int first_span_;
  const int q_heads_each_;
  int end_ = 0;  // positions
};

}  // namespace

// Upper bound on parts. A block is divided only if its share of the work exceeds num_head_tasks / enough, into at most
// 2 ceil(share * enough / num_head_tasks) parts per head task. The total is below 6 * enough.
std::size_t attention_scratch_bytes(const StepSize& largest, int num_threads) {
  const int enough = enough_tasks(num_threads), num_heads = largest.num_q_heads / largest.num_kv_heads;
  const int tokens = tokens_per_block(largest.num_tokens, largest.num_q_heads, largest.num_kv_heads, enough);
  const std::size_t task_rows = std::max(tokens * num_heads, std::min(kTaskRows, tokens * largest.num_q_heads));
  const int num_spans = divided_up(largest.num_positions, kSpan);
  const std::size_t parts = num_threads > 1 ? 6 * enough * task_rows * attention_sums(largest.head_dim) : 0;
  return (parts + num_threads * worker_floats(task_rows, largest.head_dim, num_spans)) * sizeof(float) +
         (enough + 1) * Scratch::kAlignment;
}

// The tokens of a block go through its pages together. A block is divided if there are few, or if it exceeds a thread's
// share.
void CpuBackend::attention(const Attention& op) {
  const Batch& batch = *op.batch;
  const int num_heads = op.num_q_heads / op.num_kv_heads, enough = enough_tasks(pool_.num_threads());
  std::vector<Block> blocks =
      blocks_of(batch, tokens_per_block(batch.num_tokens, op.num_q_heads, op.num_kv_heads, enough));
  double work = 0;
  for (const Block& block : blocks) work += block.work();

  scratch_.clear();
  std::vector<Task> tasks, joins;
  int most_spans = 1;
  std::size_t most_rows = 0;
  for (Block& block : blocks) {
    block.divide(int(std::ceil(enough * block.work() / work)), op.num_kv_heads, num_heads);
    most_spans = std::max(most_spans, block.spans_per_task);
    most_rows = std::max(most_rows, std::size_t(block.num_tokens) * num_heads * block.heads_per_task);
    if (block.num_parts() > 1)
      block.parts = scratch_.floats(std::size_t(block.num_parts()) * op.num_kv_heads * block.num_tokens * num_heads *
                                    attention_sums(op.head_dim));
    for (int span = 0; span < block.num_spans; span += block.spans_per_task)
      for (int head = 0; head < op.num_kv_heads; head += block.heads_per_task)
        tasks.emplace_back(op, block, head, span);
  }

  // Each worker has its own memory and takes one task after another.
  const std::size_t num_workers = std::min(tasks.size(), std::size_t(pool_.num_threads()));
  const std::size_t floats_each = worker_floats(most_rows, op.head_dim, most_spans);
  float* const workspace = scratch_.floats(num_workers * floats_each);
  std::atomic<std::size_t> next_task{0};
  const double multiply_adds = 2.0 * work * kSpan * op.num_q_heads * op.head_dim;
  for_each_task(num_workers, std::size_t(multiply_adds / double(num_workers)), pool_, [&](std::size_t worker) {
    for (std::size_t index; (index = next_task.fetch_add(1, std::memory_order_relaxed)) < tasks.size();)
      tasks[index].run(workspace + worker * floats_each, kernels_);
  });

  for (const Block& block : blocks)
    for (int head = 0; block.parts && head < op.num_kv_heads; head += block.heads_per_task)
      joins.emplace_back(op, block, head, 0);
  if (joins.empty()) return;
  for_each_task(joins.size(), joins.front().join_adds(), pool_, [&](std::size_t index) { joins[index].join(); });
}

}  // namespace grok::cpu
