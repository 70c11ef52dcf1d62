#include "format/file_kind.h"

#include <string>
#include <string_view>

#include "testing.h"

using namespace grok;
using namespace grok::format;
using namespace grok::testing;
using namespace std::string_view_literals;

namespace {

// The name of the kind; "" if the bytes may be of the expected kind.
std::string kind_of(std::string_view bytes, Expected expected) {
  const auto kind = recognize(bytes, expected);
  if (kind) CHECK(std::string_view(kind->fix).size() > 0);
  return kind ? kind->name : "";
}

std::string tar_header() { return std::string(257, '\0') + "ustar\0"; }

}  // namespace

TEST("names the kind of a file that people have by mistake, whatever was expected") {
  struct Mistake {
    std::string_view bytes;
    const char* name;
  };
  const std::string tar = tar_header();
  for (const Mistake& mistake :
       {Mistake{""sv, "an empty file"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"sv, "a git-lfs pointer"},
        {"/annex/objects/SHA256E-s1--00\n"sv, "a git-annex pointer"},
        {"<!DOCTYPE html><html>"sv, "a web page (HTML)"},
        {"\xef\xbb\xbf\r\n <html lang=\"en\">"sv, "a web page (HTML)"},
        {"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>"sv, "an XML document"},
        {"\x1f\x8b\x08\0"sv, "gzip data"},
        {"PK\x03\x04 and then archive/data.pkl"sv, "a PyTorch file"},
        {"PK\x03\x04 and then arr_0.npy"sv, "a NumPy archive (.npz)"},
        {"PK\x03\x04 and then a.txt"sv, "a ZIP archive"},
        {"\x80\x02\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8P\x19."sv, "a PyTorch file"},
        {"\xfd"
         "7zXZ\0\0"sv,
         "xz data"},
        {"\x28\xb5\x2f\xfd\x04"sv, "zstd data"},
        {"BZh91AY"sv, "bzip2 data"},
        {tar, "a tar archive"},
        {"d8:announce35:udp://tracker"sv, "a torrent file"},
        {"magnet:?xt=urn:btih:5f96d43576e3"sv, "a magnet link"},
        {"d10:created by18:qBittorrent"sv, "a torrent file"},
        {"GGUF\x03\0\0\0"sv, "a GGUF model"},
        {"\x93NUMPY\x01\0"sv, "a NumPy array (.npy)"},
        {"\x89HDF\r\n\x1a\n"sv, "an HDF5 file"},
        {"\xff\xfe{\0\"\0"sv, "UTF-16 text"},
        {"{\0\"\0a\0"sv, "UTF-16 text"},
        {"\0{\0\"\0a"sv, "UTF-16 text"},
        {"#!/bin/sh\n"sv, "a script"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv, "nothing but zeros"}})
    for (const Expected expected : {Expected::json, Expected::pickle, Expected::safetensors, Expected::tokenizer})
      CHECK_EQ(kind_of(mistake.bytes, expected), mistake.name);
}

TEST("names a file of this program that stands in the place of another") {
  const std::string_view pickle = "\x80\x04\x95"sv;
  const std::string_view safetensors = "\x10\0\0\0\0\0\0\0{\"a\":{}}"sv;
  CHECK_EQ(kind_of(pickle, Expected::pickle), "");
  CHECK_EQ(kind_of(safetensors, Expected::safetensors), "");
  for (const Expected expected : {Expected::json, Expected::safetensors, Expected::tokenizer})
    CHECK_EQ(kind_of(pickle, expected), "a Python pickle");
  for (const Expected expected : {Expected::json, Expected::pickle, Expected::tokenizer})
    CHECK_EQ(kind_of(safetensors, expected), "a safetensors file");
}

TEST("takes text for what it is where numbers were expected, and leaves JSON to its reader") {
  for (const Expected expected : {Expected::pickle, Expected::safetensors, Expected::tokenizer}) {
    CHECK_EQ(kind_of("Entry not found", expected), "text that begins \"Entry not found\"");
    CHECK_EQ(kind_of("{\"error\": \"gated\"}", expected), "JSON");
  }
  CHECK_EQ(kind_of("{\"vocab_size\": 8}", Expected::json), "");
  CHECK_EQ(kind_of("\xef\xbb\xbf{\r\n}", Expected::json), "");
  CHECK_EQ(kind_of("\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02"sv, Expected::tokenizer), "");
  CHECK_EQ(kind_of("\x1b[2J and bytes of no kind"sv, Expected::pickle), "");
}

TEST_MAIN()
