#include "format/mapped_file.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace grok::format {
namespace {

platform::Mapping map(const std::string& path) {
  const platform::InputFile file(path);
  if (file.size_bytes() == 0)
    throw Error(ErrorCode::bad_checkpoint, concat(path, ": the file is empty"), "Download it again.");
  return platform::Mapping(file);
}

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)), mapping_(map(path_)) {}

void MappedFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (out.empty()) return;
  if (offset > size_bytes() || out.size() > size_bytes() - offset)
    throw Error(ErrorCode::io, concat(path_, ": expected ", out.size(), " bytes at ", offset, ", the file has ",
                                      size_bytes(), " in all"));
  if (!mapping_.copy(out.data(), offset, 0, out.size(), 1)) throw_lost(offset, out.size());
}

void MappedFile::read_rows(std::uint64_t offset, std::uint64_t stride, std::size_t row_bytes, std::size_t num_rows,
                           std::span<std::byte> out) const {
  if (row_bytes == 0 || num_rows == 0) return;
  const std::uint64_t span_bytes = checked_add(checked_mul(num_rows - 1, stride), row_bytes);
  if (offset > size_bytes() || span_bytes > size_bytes() - offset)
    throw Error(ErrorCode::io, concat(path_, ": expected ", span_bytes, " bytes at ", offset, ", the file has ",
                                      size_bytes(), " in all"));
  if (!mapping_.copy(out.data(), offset, stride, row_bytes, num_rows)) throw_lost(offset, span_bytes);
}

void MappedFile::throw_lost(std::uint64_t offset, std::uint64_t size_bytes) const {
  std::error_code missing;
  const std::uintmax_t found = std::filesystem::file_size(path_, missing);
  const std::string now = missing ? concat("none (", missing.message(), ")") : concat(found);
  throw Error(ErrorCode::io,
              concat(path_, ": could not read ", size_bytes, " bytes at ", offset, ": expected a file of ",
                     mapping_.size_bytes(), " bytes, found ", now, " now"),
              "The file changed or its disk failed while it was in use. Leave checkpoints alone while a model loads, "
              "or runs with mapped weights.");
}

void refuse_other_kind(const MappedFile& file, Expected expected, const std::string& place, const char* expected_name) {
  std::string head(std::min<std::uint64_t>(kFileHeadBytes, file.size_bytes()), '\0');
  file.read(0, std::as_writable_bytes(std::span(head)));
  if (const auto kind = recognize(head, expected))
    throw Error(ErrorCode::bad_checkpoint, concat(place, ": expected ", expected_name, ", found ", kind->name),
                kind->fix);
}

}  // namespace grok::format
