// Runs a fuzz target without libFuzzer, for CI: every file of a corpus as it is, and the same mutations each time.
//
//   fuzz_NAME MUTATIONS CORPUS

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <random>
#include <string_view>
#include <vector>

#include "fuzz.h"
#include "support/files.h"

using namespace grok::testing;

namespace {

void run(const std::string& input) {
  // Exactly as large as the input, so that AddressSanitizer sees a read past its end.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> read_corpus(const std::string& directory) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const auto& path : paths) inputs.push_back(read_file(path.string()));
  return inputs;
}

std::string mutated(std::string input, const std::vector<std::string>& corpus, std::mt19937& random) {
  const auto below = [&](std::size_t limit) { return limit == 0 ? 0 : random() % limit; };
  for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
    const std::size_t at = below(input.size());
    switch (below(6)) {
      case 0:
        if (!input.empty()) input[at] = char(random());
        break;
      case 1:
        if (!input.empty()) input[at] = char(input[at] ^ (1 << below(8)));
        break;
      case 2: input.insert(at, 1, char(random())); break;
      case 3: input.erase(at, 1 + below(8)); break;
      case 4: input.insert(at, input.substr(below(input.size()), below(32))); break;
      case 5: {
        const std::string& other = corpus[below(corpus.size())];
        input.replace(at, below(32), other.substr(below(other.size()), below(32)));
        break;
      }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view count = argc == 3 ? argv[1] : "";
  int num_mutations = 0;
  if (std::from_chars(count.data(), count.data() + count.size(), num_mutations).ec != std::errc()) {
    std::fprintf(stderr, "expected a number of mutations and a corpus\n");
    return 2;
  }
  const std::vector<std::string> corpus = read_corpus(argv[2]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: expected inputs, found none\n", argv[2]);
    return 2;
  }
  for (const std::string& input : corpus) run(input);
  std::mt19937 random(1);
  for (int index = 0; index < num_mutations; ++index)
    run(mutated(corpus[std::size_t(index) % corpus.size()], corpus, random));
  std::printf("%zu inputs and %d mutations\n", corpus.size(), num_mutations);
}
