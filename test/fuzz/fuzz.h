#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>

#include "core/error.h"
#include "core/tensor.h"

// Each target defines it. libFuzzer calls it, or replay.cpp where there is no clang.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size_bytes);

// Ends the process, which a fuzzer reports as a finding.
#define FUZZ_CHECK(condition)                                                        \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                  \
    }                                                                                \
  } while (0)

namespace grok::fuzz {

// A hostile file must not cause a long message.
inline void check_refusal(const Error& error, std::initializer_list<ErrorCode> allowed) {
  bool is_allowed = false;
  for (const ErrorCode code : allowed) is_allowed |= error.code == code;
  if (!is_allowed) std::fprintf(stderr, "%s: %s\n", code_name(error.code), error.what());
  FUZZ_CHECK(is_allowed);
  FUZZ_CHECK(std::strlen(error.what()) < 20'000);
}

// All of the tensor's bytes lie in the file and can be read.
inline void check_view(const TensorView& view, std::uint64_t file_bytes) {
  const std::uint64_t size_bytes = view.size_bytes();
  FUZZ_CHECK(view.offset <= file_bytes && size_bytes <= file_bytes - view.offset);
  if (size_bytes == 0) return;
  std::byte byte[1];
  view.read(0, byte);
  view.read(size_bytes - 1, byte);
}

// Bytes without a file.
struct InputBytes final : ByteSource {
  InputBytes(const std::uint8_t* bytes, std::size_t size_bytes) : bytes(bytes), size_bytes(size_bytes) {}
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    FUZZ_CHECK(offset <= size_bytes && out.size() <= size_bytes - offset);
    if (!out.empty()) std::memcpy(out.data(), bytes + offset, out.size());
  }
  const std::uint8_t* bytes;
  std::size_t size_bytes;
};

// Opening and mapping a file takes longer than parsing it, so one input size in 16 becomes a file. The choice depends
// on the size, because an input must have the same result each time.
inline bool becomes_file(std::size_t size_bytes) { return size_bytes % 16 == 0; }

// A file without a disk.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) { FUZZ_CHECK(descriptor_ >= 0); }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }
  void write(const std::uint8_t* bytes, std::size_t size_bytes) {
    FUZZ_CHECK(pwrite(descriptor_, bytes, size_bytes, 0) == ssize_t(size_bytes));
    FUZZ_CHECK(ftruncate(descriptor_, off_t(size_bytes)) == 0);
  }

 private:
  int descriptor_;
};

}  // namespace grok::fuzz
