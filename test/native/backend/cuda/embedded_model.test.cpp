#include "testing.h"

#include <algorithm>
#include <numeric>

#include "backend/cpu/cpu.h"
#include "backend/cuda/cuda.h"
#include "model/forward.h"
#include "runtime/checkpoint.h"
#include "runtime/kv_cache.h"
#include "runtime/page_pool.h"
#include "support/made_up.h"

using namespace grok;
using namespace grok::cuda;
using namespace grok::testing;

// The embedded model on the CPU and on CUDA: the same text, and the logits at every position of it.
namespace {

// The goldens' gates for two limbs (support/tested_backends.h), here against the CPU and at each position.
constexpr double kGate = 5e-4;
constexpr float kTie = 0.01f;

// "Once upon a time there was a little girl named Lily. She loved to play in the garden with her dog. One day the dog ran
// away into the dark wood, and Lily was very sad. "Where are you?" she called. Then she heard a small bark behind the old
// tree." by models/grok-tiny/tokenizer.model.
const std::vector<std::int32_t> kText = {
    1202, 803,  275,  514, 450, 320, 275, 426,  705, 1788, 1297, 4048, 565,  1533, 289,  691,  318, 276, 1247, 373,
    366,  858,  4048, 951, 527, 276, 858, 804,  581, 528,  276,  1235, 857,  4047, 287,  1297, 320, 463, 1260, 4048,
    303,  1900, 501,  327, 444, 368, 810, 4048, 585, 368,  749,  275,  1066, 2214, 1135, 276,  555, 814, 4048};

// Tokens of each step: a prompt in two pieces, then one at a time.
std::vector<int> steps() {
  std::vector<int> sizes = {30, 17};
  while (std::size_t(std::accumulate(sizes.begin(), sizes.end(), 0)) < kText.size()) sizes.push_back(1);
  return sizes;
}

// Logits after each token: [kText.size(), vocab_size].
std::vector<float> logits_on(std::unique_ptr<Backend> backend) {
  const runtime::Checkpoint checkpoint = runtime::open_checkpoint(concat(GROK_PROJECT_DIR, "/models/grok-tiny"));
  const model::GrokConfig& config = checkpoint.config;
  model::Weights weights(config.num_layers);
  const model::BoundNetwork network = model::bind_weights(config, *checkpoint.source, *checkpoint.naming);
  for (const model::BoundWeight& weight : network.weights) weight.load(*backend, weights);
  const int num_tokens = int(kText.size());
  runtime::KvCache cache(*backend, config, KvCacheType::f32, runtime::pages_for(num_tokens));
  model::Workspace workspace(*backend, config,
                             {.num_tokens = num_tokens, .num_outputs = num_tokens, .layers = network.layers});
  std::vector<std::int32_t> pages(std::size_t(runtime::pages_for(num_tokens)));
  std::iota(pages.begin(), pages.end(), 0);

  std::vector<float> logits;
  int position = 0;
  for (const int size : steps()) {
    std::vector<std::int32_t> positions(std::size_t(size), 0), rows(std::size_t(size), 0);
    const std::vector<std::int32_t> sequences(std::size_t(size), 0);
    std::iota(positions.begin(), positions.end(), position);
    std::iota(rows.begin(), rows.end(), 0);
    const Batch batch = backend->stage({.tokens = kText.data() + position,
                                        .positions = positions.data(),
                                        .sequences = sequences.data(),
                                        .page_tables = pages.data(),
                                        .output_rows = rows.data(),
                                        .num_tokens = size,
                                        .num_sequences = 1,
                                        .max_pages = int(pages.size()),
                                        .num_outputs = size});
    backend->step([&] { model::forward(config, weights, batch, cache.layers(), workspace, *backend); });
    std::vector<float> found(std::size_t(size) * std::size_t(config.vocab_size));
    backend->read(std::span(found), workspace.logits->as<float>());
    logits.insert(logits.end(), found.begin(), found.end());
    position += size;
  }
  return logits;
}

std::size_t best_of(const std::vector<float>& logits) {
  return std::size_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

TEST("the embedded model's logits on CUDA are those on the CPU, and so is the likeliest token where there is no tie") {
  const std::vector<float> cuda = logits_on(make_backend({}));
  const std::size_t vocab_size = cuda.size() / kText.size();
  std::vector<std::string> isas = cpu::usable_isas();
  isas = {isas.front(), isas.back()};  // the one in use, and the specification
  for (const std::string& isa : isas) {
    const std::vector<float> cpu = logits_on(cpu::make_backend({.num_threads = 2, .isa = isa}));
    CHECK_EQ(cpu.size(), cuda.size());
    std::vector<double> distances;
    std::size_t num_agreeing = 0;
    for (std::size_t position = 0; position < kText.size(); ++position) {
      const auto row_of = [&](const std::vector<float>& logits) {
        const auto begin = logits.begin() + std::ptrdiff_t(position * vocab_size);
        return std::vector<float>(begin, begin + std::ptrdiff_t(vocab_size));
      };
      const std::vector<float> found = row_of(cuda), expected = row_of(cpu);
      distances.push_back(distance(found, expected));
      const std::size_t best = best_of(expected), chosen = best_of(found);
      num_agreeing += best == chosen;
      if (best != chosen && expected[best] - expected[chosen] >= kTie)
        fail(__FILE__, __LINE__, concat(isa, ", position ", position, ": another likeliest token, and no tie"));
      if (!(distances.back() < kGate))
        fail(__FILE__, __LINE__, concat(isa, ", position ", position, ": distance ", distances.back()));
    }
    std::sort(distances.begin(), distances.end());
    std::printf(
        "       CPU (%s): the same likeliest token at %zu of %zu positions, distance %.1e at most, median %.1e\n",
        isa.c_str(), num_agreeing, kText.size(), distances.back(), distances[distances.size() / 2]);
  }
}

TEST_MAIN()
