#include "format/jax_checkpoint.h"

#include <ctime>
#include <filesystem>
#include <string>

#include "model/haiku_naming.h"
#include "support/files.h"
#include "support/golden.h"
#include "support/write_checkpoint.h"
#include "testing.h"

using namespace grok;
using namespace grok::format;
using namespace grok::testing;

namespace {

namespace fs = std::filesystem;

// A fresh tiny checkpoint of two layers.
struct TinyCheckpoint {
  TinyCheckpoint() { write_jax_checkpoint(directory.path(), tiny_config()); }
  std::string file(const std::string& name) const { return directory / ("ckpt-0/" + name); }
  std::unique_ptr<TensorSource> open() const {
    return open_jax_checkpoint(directory / "ckpt-0", model::haiku_names(2));
  }

  TempDirectory directory;
};

}  // namespace

TEST("says that a directory is missing") {
  CHECK_ERROR(open_jax_checkpoint("/nowhere/ckpt-0", model::haiku_names(1)), ErrorCode::not_found, "/nowhere/ckpt-0");
}

TEST("lists everything that is wrong in one error: missing, foreign, unfinished, empty, damaged, too many") {
  const TinyCheckpoint checkpoint;
  fs::remove(checkpoint.file("tensor00005_000"));
  write_file(checkpoint.file("tensor00003_001"), "x");
  fs::rename(checkpoint.file("tensor00007_000"), checkpoint.file("tensor00007_000.part"));
  write_file(checkpoint.file("tensor00008_000.aria2"), "x");
  write_file(checkpoint.file("tensor00009_000"), "");
  write_file(checkpoint.file("tensor00010_000"),
             "\x80\x04"
             "cos\nsystem\n.");
  write_file(checkpoint.file("tensor00026_000"), "x");
  write_file(checkpoint.file("README.md"), "none of our business");
  try {
    checkpoint.open();
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code == ErrorCode::bad_checkpoint);
    const std::string message = error.what();
    for (const char* line :
         {"ckpt-0: expected 26 files (2, and 12 for each layer), found 25; problems:",
          "\n  ckpt-0/tensor00003_001: expected files of host 000 only",
          "\n  ckpt-0/tensor00005_000: missing (transformer/decoder_layer_0/multi_head_attention/key/w)",
          "\n  ckpt-0/tensor00007_000.part: a download that has not finished", "\n  ckpt-0/tensor00007_000: missing",
          "\n  ckpt-0/tensor00008_000.aria2: a download that has not finished", "tensor00009_000: the file is empty",
          "\n  ckpt-0/tensor00010_000: byte 2: expected one of the five names",
          "\n  ckpt-0/tensor00026_000: expected no number above 25"})
      if (message.find(line) == std::string::npos) fail(__FILE__, __LINE__, concat("no \"", line, "\" in ", message));
    CHECK(message.find("README") == std::string::npos);
  }
}

TEST("keeps the list short when everything is missing") {
  const TempDirectory directory;
  fs::create_directory(directory / "ckpt-0");
  CHECK_ERROR(open_jax_checkpoint(directory / "ckpt-0", model::haiku_names(64)), ErrorCode::bad_checkpoint,
              "\n  and 750 more");
}

TEST("keeps the code that all problems share") {
  const TinyCheckpoint checkpoint;
  fs::remove(checkpoint.file("tensor00000_000"));
  fs::create_directory(checkpoint.file("tensor00000_000"));
  CHECK_ERROR(checkpoint.open(), ErrorCode::io, "expected a file, found a directory");
}

TEST("says that a directory is no ckpt-0 when it holds other files") {
  CHECK(!has_jax_tensors({}));
  CHECK(!has_jax_tensors({"tensor0000_000", "tensor000000_000", "tensor00000-000", "xtensor00000_000",
                          "tensor00000_000x", "tensor00000_000.sha256"}));
  CHECK(has_jax_tensors({"tensor00000_000"}));
  CHECK(has_jax_tensors({"README.md", "tensor00000_000.part"}));
}

TEST("takes known marks of a download for unfinished, and no other file beside the tensors") {
  const TinyCheckpoint checkpoint;
  for (const char* name : {"tensor00000_000.sha256", "tensor00000_000.md5", "tensor00000_000.torrent",
                           "tensor00000_000.asc", ".DS_Store", "._tensor00000_000", "Thumbs.db", "README.md",
                           ".gitattributes", "tensor00000_000 (1)", "sha256sums.txt", "tensor00000_000.lock"})
    write_file(checkpoint.file(name), "x");
  fs::create_directories(checkpoint.file(".cache/huggingface"));
  CHECK_EQ(checkpoint.open()->parameters().size(), 26u);
  for (const char* mark :
       {".part", ".aria2", ".incomplete", ".crdownload", ".tmp", ".download", ".1f3e9a.partial", ".PART", ".!qB"}) {
    const std::string path = checkpoint.file("tensor00003_000") + mark;
    write_file(path, "x");
    CHECK_ERROR(checkpoint.open(), ErrorCode::bad_checkpoint, concat("3_000", mark, ": a download that has not"));
    fs::remove(path);
  }
}

TEST("names the kind of a file that stands under a tensor's name, with what to do") {
  const TinyCheckpoint checkpoint;
  struct Mistake {
    const char* content;
    const char* kind;
    const char* hint;
  };
  for (const Mistake& mistake :
       {Mistake{"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer", "git lfs pull"},
        {"<!doctype html>", "a web page (HTML)", "Download again"},
        {"PK\x03\x04 archive/data.pkl", "a PyTorch file", "safetensors"}}) {
    write_file(checkpoint.file("tensor00005_000"), mistake.content);
    CHECK_ERROR(checkpoint.open(), ErrorCode::bad_checkpoint,
                concat("ckpt-0/tensor00005_000: expected a tensor's pickle, found ", mistake.kind));
    try {
      checkpoint.open();
    } catch (const Error& error) {
      CHECK(error.hint.find(mistake.hint) != std::string::npos);
    }
  }
}

TEST("gives every golden file its name, in the string order of the layers") {
  const auto source = open_jax_checkpoint(golden_path("ref-order/ckpt-0"), model::haiku_names(12));
  CHECK_EQ(source->parameters().size(), 146u);
  CHECK_EQ(source->description(), "ckpt-0 (146 files)");
  const StoredParameter* parameter = source->find("transformer/decoder_layer_10/moe/linear/w");
  CHECK_EQ(parameter->file, "ckpt-0/tensor00026_000");
  CHECK_EQ(source->find("transformer/decoder_layer_2/moe/linear/w")->file, "ckpt-0/tensor00050_000");
  CHECK(!source->find("transformer/decoder_layer_12/moe/linear/w"));
  CHECK(parameter->weight.shape == Shape({8, 48, 96}));
}

TEST("opens a directory of Grok-1's full size in under two seconds, reading no weight") {
  const TempDirectory directory;
  write_jax_tensors(directory.path(), model::GrokConfig(), Numpy::v1, 0, Payloads::holes);
  const std::clock_t start = std::clock();  // the processor's time: it does not depend on what else the machine does
  const auto source = open_jax_checkpoint(directory / "ckpt-0", model::haiku_names(64));
  CHECK(double(std::clock() - start) / CLOCKS_PER_SEC < 2);
  CHECK_EQ(source->size_bytes(), 318'239'886'140u);
  CHECK(source->parameters()[0].weight.shape == Shape({131072, 6144}));
  // The last bytes of a payload of 3 GB, past what 31 bits can count.
  float last = 1;
  const TensorView& embedding = source->parameters()[0].weight;
  embedding.read(embedding.size_bytes() - sizeof last, std::as_writable_bytes(std::span(&last, 1)));
  CHECK_EQ(last, 0.0f);
}

TEST_MAIN()
