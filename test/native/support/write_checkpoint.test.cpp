#include "support/write_checkpoint.h"

#include <string>

#include "format/mapped_file.h"
#include "format/pickle.h"
#include "support/files.h"
#include "support/golden.h"
#include "support/held_bytes.h"
#include "testing.h"

using namespace grok;
using namespace grok::testing;

namespace {

ArrayToWrite array_of(const HeldBytes& file, const TensorView& view) {
  return {view.dtype, view.shape,
          std::as_bytes(std::span(file.bytes)).subspan(std::size_t(view.offset), std::size_t(view.size_bytes()))};
}

// The file's own numbers, pickled again.
std::string written_again(const HeldBytes& file, const std::string& path, Numpy numpy) {
  const format::PickledTensor tensor = format::read_pickle(file, file.size_bytes(), path);
  {
    OutputFile out(path);
    PickleWriter pickle(out, numpy);
    if (tensor.scales) {
      pickle.write_quantized(array_of(file, tensor.weight), array_of(file, *tensor.scales));
    } else {
      pickle.write_array(array_of(file, tensor.weight));
    }
  }
  return read_file(path);
}

void check_network(const std::string& network, int num_files, Numpy numpy) {
  const TempDirectory directory;
  for (int number = 0; number < num_files; ++number) {
    char name[32];
    std::snprintf(name, sizeof name, "tensor%05d_000", number);
    const HeldBytes golden(read_file(golden_path(network + "/ckpt-0/" + name)));
    CHECK(written_again(golden, directory / name, numpy) == golden.bytes);
  }
}

}  // namespace

TEST("writes golden files byte for byte as xAI's own code and numpy wrote them") {
  check_network("ref-small", 38, Numpy::v1);
  check_network("ref-order", 146, Numpy::v1);
  check_network("ref-wide", 26, Numpy::v1);
  check_network("ref-small-numpy2", 38, Numpy::v2);
}

TEST("writes Grok-1's 770 files in the sizes of the real ones, with numbers at the same offsets") {
  // Measured on the released checkpoint: file bytes, and the offsets of the first and second payload.
  struct Real {
    int number;
    std::uint64_t file_bytes, offset, scales_offset;
  };
  constexpr Real kReal[] = {
      {0, 3'221'225'637, 151, 0},
      {1, 24'727, 146, 0},
      {2, 1'611'137'347, 201, 1'610'613'043},
      {3, 1'611'399'491, 201, 1'610'613'043},
      {4, 1'611'137'347, 201, 1'610'613'043},
      {5, 6'293'814, 199, 6'291'759},
      {6, 37'847'359, 199, 37'749'039},
      {7, 37'761'334, 199, 37'749'039},
      {8, 6'293'814, 199, 6'291'759},
      {13, 196'770, 148, 0},
  };
  const TempDirectory directory;
  write_jax_tensors(directory.path(), model::GrokConfig(), Numpy::v1, 0, Payloads::holes);
  std::uint64_t total_bytes = 0, num_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory / "ckpt-0")) {
    total_bytes += entry.file_size();
    ++num_files;
  }
  CHECK_EQ(num_files, 770u);
  CHECK_EQ(total_bytes, 318'239'886'140u);
  for (const Real& real : kReal) {
    char name[40];
    std::snprintf(name, sizeof name, "ckpt-0/tensor%05d_000", real.number);
    const format::MappedFile file(directory / name);
    CHECK_EQ(file.size_bytes(), real.file_bytes);
    const format::PickledTensor tensor = format::read_pickle(file, file.size_bytes(), name);
    CHECK_EQ(tensor.weight.offset, real.offset);
    CHECK_EQ(tensor.scales ? tensor.scales->offset : 0, real.scales_offset);
  }
}

TEST_MAIN()
