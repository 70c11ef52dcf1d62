#include "runtime/locate.h"

#include <filesystem>
#include <string>

#include "core/error.h"
#include "support/files.h"
#include "testing.h"

using namespace grok;
using namespace grok::runtime;
using namespace grok::testing;

namespace {

namespace fs = std::filesystem;

void make_file(const std::string& path, const char* content = "x") {
  fs::create_directories(fs::path(path).parent_path());
  write_file(path, content);
}

}  // namespace

TEST("finds tensors, config and tokenizer of xAI's repository from each of its folders") {
  const TempDirectory xai;
  const std::string tensors = xai / "checkpoints/ckpt-0";
  make_file(tensors + "/tensor00000_000");
  make_file(xai / "checkpoints/config.json");
  make_file(xai / "tokenizer.model");
  for (const std::string& path : {xai.path(), xai / "checkpoints", xai / "checkpoints/", tensors, tensors + "/."}) {
    const Location location = locate(path);
    CHECK_EQ(location.tensors.string(), tensors);
    CHECK_EQ(location.find("config.json").string(), xai / "checkpoints/config.json");
    CHECK_EQ(location.find_tokenizer().string(), xai / "tokenizer.model");
  }
}

TEST("looks into a ckpt-0 within a ckpt-0, and into folders of other names") {
  for (const char* folder : {"ckpt-0/ckpt-0", "ckpt0", "CKPT-0", "grok-1/ckpt-0", "snapshots/7a01/ckpt-0"}) {
    const TempDirectory root;
    make_file(root / (std::string(folder) + "/tensor00000_000"));
    make_file(root / "config.json");
    make_file(root / ".cache/ckpt-0/tensor00000_000");
    const Location location = locate(root.path());
    CHECK_EQ(location.tensors.string(), root / folder);
    CHECK_EQ(location.find("config.json").string(), root / "config.json");
  }
  const TempDirectory root;
  make_file(root / "export/model.safetensors");
  CHECK(locate(root.path()).format == Format::safetensors);
}

TEST("names the largest file of a known kind in a folder without a checkpoint") {
  const TempDirectory root;
  make_file(root / "README.md", "The weights of a model, and how to download them with a torrent");
  make_file(root / "notes/README.md");
  make_file(root / "grok-1.torrent", "d8:announce35:udp://tracker.example");
  CHECK_ERROR(locate(root.path()), ErrorCode::not_found, "found \"grok-1.torrent\", a torrent file");
  make_file(root / "grok-1.gguf", "GGUF with more bytes than the torrent has");
  CHECK_ERROR(locate(root.path()), ErrorCode::not_found, "found \"grok-1.gguf\", a GGUF model");
  make_file(root / "model-00001-of-00009.safetensors", "more bytes than the torrent and the GGUF model have");
  CHECK_ERROR(locate(root.path()), ErrorCode::not_found, "found \"model-00001-of-00009.safetensors\", a safetensors");
}

TEST("refuses to choose among several checkpoints, and names two of them") {
  const TempDirectory root;
  make_file(root / "a/tensor00000_000");
  make_file(root / "b/model.safetensors");
  CHECK_ERROR(locate(root.path()), ErrorCode::invalid_argument, "found 2 below it, such as " + (root / "a"));
}

TEST("follows links to folders, whatever their name") {
  const TempDirectory root;
  make_file(root / "data/ckpt-0/tensor00000_000");
  make_file(root / "data/config.json");
  make_file(root / "linked/config.json");
  fs::create_directory_symlink("data/ckpt-0", root / "grok");
  fs::create_directory_symlink("../data/ckpt-0", root / "linked/ckpt-0");
  CHECK_EQ(locate(root / "grok").find("config.json").string(), fs::canonical(root / "data/config.json").string());
  CHECK_EQ(locate(root / "linked").find("config.json").string(), root / "linked/config.json");
  fs::create_directory_symlink("data/gone", root / "dangling");
  CHECK_ERROR(locate(root / "dangling"), ErrorCode::not_found, "a link to data/gone, which is missing");
}

TEST("tells a config or tokenizer that is a link to nothing") {
  for (const char* name : {"config.json", "tokenizer.model"}) {
    const TempDirectory root;
    make_file(root / "ckpt-0/tensor00000_000");
    fs::create_symlink("../blobs/gone", root / name);
    const Location location = locate(root.path());
    CHECK_ERROR(location.find(name), ErrorCode::not_found, "a link to ../blobs/gone, which is missing");
    CHECK(location.find("other.json").empty());
  }
}

TEST("leaves the parent of a folder of another name alone") {
  const TempDirectory root;
  make_file(root / "tensors/tensor00000_000");
  make_file(root / "config.json");
  CHECK(locate(root / "tensors").find("config.json").empty());
}

TEST("says of which kind a file is that holds no tensors") {
  const TempDirectory root;
  make_file(root / "grok-1.gguf", "GGUF");
  CHECK_ERROR(locate(root / "grok-1.gguf"), ErrorCode::unsupported, "found a GGUF model");
  make_file(root / "grok-1.torrent", "d8:announce3:udp");
  CHECK_ERROR(locate(root / "grok-1.torrent"), ErrorCode::unsupported, "found a torrent file");
  make_file(root / "config.json", "{}");
  make_file(root / "tensor00000_000", "\x80\x04.");
  for (const char* name : {"config.json", "tensor00000_000"})
    CHECK_ERROR(locate(root / name), ErrorCode::unsupported, "found another file");
}

TEST_MAIN()
