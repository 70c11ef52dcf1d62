// Results for a checkpoint file that is truncated at any length, or has any one byte of its framing changed.

#include <optional>
#include <string>
#include <vector>

#include "format/pickle.h"
#include "support/allocation_peak.h"
#include "support/files.h"
#include "support/golden.h"
#include "support/held_bytes.h"
#include "support/write_checkpoint.h"
#include "testing.h"

using namespace grok;
using namespace grok::format;
using namespace grok::testing;

namespace {

// Maximum for any file, however small: the reader's own window, and a message.
constexpr std::size_t kFixedBytes = 32 * 1024;

bool same(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.offset == b.offset;
}

bool same(const PickledTensor& a, const PickledTensor& b) {
  return same(a.weight, b.weight) && a.scales.has_value() == b.scales.has_value() &&
         (!a.scales || same(*a.scales, *b.scales));
}

bool is_payload(const PickledTensor& tensor, std::uint64_t position) {
  const auto within = [&](const TensorView& view) {
    return position >= view.offset && position < view.offset + view.size_bytes();
  };
  return within(tensor.weight) || (tensor.scales && within(*tensor.scales));
}

struct Tally {
  int refused = 0;
  int harmless = 0;
};

// A damaged file must be refused with a specific code, or be read as if it were whole. It must not be read as anything
// else, crash, read past its end, or take much memory.
void try_damaged(const HeldBytes& file, const std::optional<PickledTensor>& expected, Tally& tally,
                 const std::string& damage) {
  const AllocationPeak peak;
  try {
    const PickledTensor found = read_pickle(file, file.size_bytes(), "damaged");
    const bool harmless = expected && same(found, *expected);
    tally.harmless += harmless;
    if (!harmless) fail(__FILE__, __LINE__, damage + ": read as something else");
  } catch (const Error& error) {
    ++tally.refused;
    if (error.code != ErrorCode::bad_checkpoint && error.code != ErrorCode::unsupported)
      fail(__FILE__, __LINE__, concat(damage, ": ", code_name(error.code), ": ", error.what()));
  }
  if (peak.bytes() > 2 * file.size_bytes() + kFixedBytes)
    fail(__FILE__, __LINE__, concat(damage, ": took ", peak.bytes(), " bytes"));
}

// One file of each kind.
std::vector<std::string> tiny_files(Numpy numpy) {
  const TempDirectory directory;
  write_jax_tensors(directory.path(), tiny_config(), numpy, 7);
  std::vector<std::string> files;
  for (const int number : {0, 1, 2, 3, 5, 6, 7, 13}) {
    char name[40];
    std::snprintf(name, sizeof name, "ckpt-0/tensor%05d_000", number);
    files.push_back(read_file(directory / name));
  }
  return files;
}

}  // namespace

TEST("refuses every tiny file at every length shorter than its own") {
  Tally tally;
  for (const Numpy numpy : {Numpy::v1, Numpy::v2}) {
    for (const std::string& whole : tiny_files(numpy)) {
      for (std::size_t length = 0; length < whole.size(); ++length)
        try_damaged(HeldBytes(whole.substr(0, length)), std::nullopt, tally, concat("cut at ", length));
    }
  }
  CHECK_EQ(tally.harmless, 0);
  CHECK(tally.refused > 5'000);
}

TEST("refuses golden files, with their large payloads and several frames, cut short at many lengths") {
  Tally tally;
  for (const char* name : {"tensor00000_000", "tensor00002_000", "tensor00003_000"}) {
    const std::string whole = read_file(golden_path(concat("ref-small/ckpt-0/", name)));
    HeldBytes file(whole);
    const PickledTensor tensor = read_pickle(file, file.size_bytes(), name);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      if (is_payload(tensor, length) && length % 4099 != 0) continue;
      file.bytes = whole.substr(0, length);
      try_damaged(file, std::nullopt, tally, concat(name, " cut at ", length));
    }
  }
  CHECK_EQ(tally.harmless, 0);
  CHECK(tally.refused > 800);
}

TEST("refuses, or reads rightly, every tiny file with any one byte of its framing changed to any other") {
  Tally tally;
  for (const Numpy numpy : {Numpy::v1, Numpy::v2}) {
    for (const std::string& whole : tiny_files(numpy)) {
      HeldBytes file(whole);
      const PickledTensor expected = read_pickle(file, file.size_bytes(), "whole");
      for (std::size_t position = 0; position < whole.size(); ++position) {
        if (is_payload(expected, position)) continue;
        for (int change = 1; change < 256; ++change) {
          file.bytes[position] = char(whole[position] ^ change);
          try_damaged(file, expected, tally, concat("byte ", position, " changed by ", change));
        }
        file.bytes[position] = whole[position];
      }
    }
  }
  // Changes without effect: lengths of frames, the protocol's number, the module of the dataclass, numpy's own three
  // numbers and two flags of a dtype.
  CHECK(tally.refused > 2 * tally.harmless);
  CHECK(tally.harmless > 0);
}

TEST("refuses, or reads rightly, golden files with any one byte of their framing changed") {
  Tally tally;
  for (const char* name : {"tensor00000_000", "tensor00003_000"}) {
    const std::string whole = read_file(golden_path(concat("ref-small/ckpt-0/", name)));
    HeldBytes file(whole);
    const PickledTensor expected = read_pickle(file, file.size_bytes(), name);
    for (std::size_t position = 0; position < whole.size(); ++position) {
      if (is_payload(expected, position)) continue;
      for (int change = 1; change < 256; ++change) {
        file.bytes[position] = char(whole[position] ^ change);
        try_damaged(file, expected, tally, concat(name, " byte ", position, " changed by ", change));
      }
      file.bytes[position] = whole[position];
    }
  }
  CHECK(tally.refused > 1000);
}

TEST_MAIN()
