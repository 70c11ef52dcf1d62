#include "runtime/checkpoint.h"

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string>

#include "support/files.h"
#include "support/golden.h"
#include "support/write_checkpoint.h"
#include "testing.h"

using namespace grok;
using namespace grok::runtime;
using namespace grok::testing;

namespace {

namespace fs = std::filesystem;

// A directory with ckpt-0/, config.json and tokenizer.model.
struct TinyCheckpoint {
  TinyCheckpoint() {
    write_jax_checkpoint(directory.path(), tiny_config());
    write_file(directory / "tokenizer.model", "x");
  }
  TempDirectory directory;
};

// Works in another directory for a while.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const std::string& path) : before_(fs::current_path()) { fs::current_path(path); }
  ~WorkingDirectory() { fs::current_path(before_); }

 private:
  fs::path before_;
};

}  // namespace

TEST("says what it looked for where there is no checkpoint") {
  const TempDirectory directory;
  CHECK_ERROR(open_checkpoint(directory / "none"), ErrorCode::not_found, "none: no such file or directory");
  CHECK_ERROR(open_checkpoint(""), ErrorCode::not_found, "no such file or directory");
  CHECK_ERROR(
      open_checkpoint(directory.path()), ErrorCode::not_found,
      "expected files tensor00000_000 .., a directory ckpt-0, model.safetensors or model.safetensors.index.json");
}

TEST("says that a file of another kind is not supported") {
  const TempDirectory directory;
  write_file(directory / "grok-1.gguf", "GGUF");
  CHECK_ERROR(open_checkpoint(directory / "grok-1.gguf"), ErrorCode::unsupported, "expected a ckpt-0 directory");
  const TinyCheckpoint checkpoint;
  CHECK_ERROR(open_checkpoint(checkpoint.directory / "ckpt-0/tensor00000_000"), ErrorCode::unsupported,
              "tensor00000_000");
}

TEST("requires a config.json for another size than Grok-1's") {
  const TinyCheckpoint checkpoint;
  fs::remove(checkpoint.directory / "config.json");
  try {
    open_checkpoint(checkpoint.directory.path());
    CHECK(false);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("expected 770 files (2, and 12 for each layer), found 26") !=
          std::string::npos);
    CHECK(error.hint.find("needs a config.json") != std::string::npos);
  }
}

TEST("refuses a config of another network, and one whose numbers would size nothing sensible") {
  const TinyCheckpoint checkpoint;
  model::GrokConfig config = tiny_config();
  config.head_dim = 8;
  write_config(checkpoint.directory / "config.json", config);
  CHECK_ERROR(open_checkpoint(checkpoint.directory.path()), ErrorCode::bad_checkpoint,
              "num_q_heads * head_dim: the config says 32, the tensors 16");
  config.num_layers = 2'000'000'000;
  write_config(checkpoint.directory / "config.json", config);
  CHECK_ERROR(open_checkpoint(checkpoint.directory.path()), ErrorCode::bad_checkpoint,
              "num_layers: expected 1 to 1024");
  config = tiny_config();
  config.num_layers = 3;
  write_config(checkpoint.directory / "config.json", config);
  CHECK_ERROR(open_checkpoint(checkpoint.directory.path()), ErrorCode::bad_checkpoint, "expected 38 files");
}

TEST("reports a ckpt-0 directory as unfinished, not as missing") {
  const TempDirectory directory;
  fs::create_directory(directory / "ckpt-0");
  CHECK_ERROR(open_checkpoint(directory.path()), ErrorCode::bad_checkpoint, "found 0");
  write_file(directory / "ckpt-0/tensor00000_000.part", "x");
  CHECK_ERROR(open_checkpoint(directory / "ckpt-0"), ErrorCode::bad_checkpoint, "a download that has not finished");
}

TEST("takes the config and tokenizer of the parent only for a directory named ckpt-0") {
  const TinyCheckpoint checkpoint;
  fs::rename(checkpoint.directory / "ckpt-0", checkpoint.directory / "tensors");
  CHECK_ERROR(open_checkpoint(checkpoint.directory / "tensors"), ErrorCode::bad_checkpoint, "expected 770 files");
  fs::rename(checkpoint.directory / "config.json", checkpoint.directory / "tensors/config.json");
  const Checkpoint opened = open_checkpoint(checkpoint.directory / "tensors");
  CHECK_EQ(opened.config_from, "config.json");
  CHECK_EQ(opened.tokenizer, "");
}

TEST("prefers the files beside the tensors to those of the parent") {
  const TinyCheckpoint checkpoint;
  write_file(checkpoint.directory / "ckpt-0/tokenizer.model", "y");
  write_file(checkpoint.directory / "config.json", "not JSON");
  write_config(checkpoint.directory / "ckpt-0/config.json", tiny_config());
  CHECK_EQ(open_checkpoint(checkpoint.directory.path()).tokenizer, checkpoint.directory / "ckpt-0/tokenizer.model");
}

TEST("reads the generation_config.json beside the tensors or above ckpt-0, and refuses a bad one") {
  const TinyCheckpoint checkpoint;
  CHECK(open_checkpoint(checkpoint.directory.path()).generation.sampling.empty());
  write_file(checkpoint.directory / "generation_config.json", R"({"temperature": 0.5})");
  CHECK_EQ(open_checkpoint(checkpoint.directory.path()).generation.sampling.at("temperature"), 0.5);
  CHECK_EQ(open_checkpoint(checkpoint.directory / "ckpt-0").generation.sampling.at("temperature"), 0.5);
  write_file(checkpoint.directory / "ckpt-0/generation_config.json", R"({"eos_token_id": 32})");
  CHECK_ERROR(open_checkpoint(checkpoint.directory.path()), ErrorCode::bad_checkpoint, "expected eos_token_id");
}

TEST("opens the ckpt-0 directory and its parent, with and without a slash, and from within") {
  const TinyCheckpoint checkpoint;
  const std::string tensors = checkpoint.directory / "ckpt-0";
  for (const std::string& path : {checkpoint.directory.path(), checkpoint.directory / "", tensors, tensors + "/",
                                  tensors + "/../ckpt-0/.", tensors + "//"}) {
    const Checkpoint opened = open_checkpoint(path);
    CHECK_EQ(opened.path, tensors);
    CHECK_EQ(opened.config_from, "config.json");
    CHECK_EQ(opened.tokenizer, checkpoint.directory / "tokenizer.model");
    CHECK_EQ(opened.config.d_model, 16);
    CHECK_EQ(opened.source->parameters().size(), 26u);
    CHECK_EQ(opened.source->description(), "ckpt-0 (26 files)");
  }
  const WorkingDirectory within(tensors);
  CHECK_EQ(open_checkpoint(".").config_from, "config.json");
  CHECK_EQ(open_checkpoint("..").config_from, "config.json");
  CHECK_EQ(open_checkpoint("../ckpt-0").config_from, "config.json");
}

TEST("opens safetensors by file and by directory") {
  const TempDirectory directory;
  write_safetensors(directory.path(), tiny_config());
  write_file(directory / "tokenizer.model", "x");
  for (const std::string& path : {directory.path(), directory / "model.safetensors"}) {
    const Checkpoint opened = open_checkpoint(path);
    CHECK_EQ(opened.path, path);
    CHECK_EQ(opened.config_from, "config.json");
    CHECK_EQ(opened.tokenizer, directory / "tokenizer.model");
    CHECK_EQ(opened.source->description(), "safetensors (1 file)");
  }
  const WorkingDirectory within(directory.path());
  CHECK_EQ(open_checkpoint("model.safetensors").config_from, "config.json");
}

TEST("opens every golden network") {
  for (const char* network : {"ref-small", "ref-order", "ref-wide", "ref-small-numpy2"})
    CHECK_EQ(open_checkpoint(golden_path(network)).config_from, "config.json");
  CHECK_EQ(open_checkpoint(golden_path("ref-order")).config.d_ff, 96);
}

TEST("opens Grok-1 itself without a config.json, in under two seconds") {
  const TempDirectory directory;
  write_jax_tensors(directory.path(), model::GrokConfig(), Numpy::v1, 0, Payloads::holes);
  const std::clock_t start = std::clock();  // the processor's time: it does not depend on what else the machine does
  const Checkpoint opened = open_checkpoint(directory.path());
  const double elapsed_s = double(std::clock() - start) / CLOCKS_PER_SEC;
  CHECK(elapsed_s < 2);
  CHECK_EQ(opened.config_from, "built in (Grok-1)");
  CHECK_EQ(opened.source->parameters().size(), 770u);
  CHECK_EQ(opened.source->size_bytes(), 318'239'886'140u);
  std::printf("    (%.3f s)\n", elapsed_s);
}

TEST_MAIN()
