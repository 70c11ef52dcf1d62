#include "format/file_kind.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/printable.h"

namespace grok::format {
namespace {

using namespace std::string_view_literals;

constexpr const char* kDownload = "Download the file again, and compare its size with the published one.";
constexpr const char* kUnpack = "Unpack it, and give the path of its contents.";
constexpr const char* kOtherFormat = "grok-run reads xAI's ckpt-0 and safetensors of the same tensors, nothing else.";
constexpr const char* kTorrentClient = "Open it in a BitTorrent client, which downloads the data.";
constexpr const char* kSaveAsUtf8 = "Save it as UTF-8, for example with iconv.";

struct Magic {
  std::string_view bytes;
  const char* name;
  const char* fix;
  std::size_t offset = 0;
};

// Source: the formats' own specifications, and file(1).
constexpr std::array kMagics = {
    Magic{"version https://git-lfs.github.com"sv, "a git-lfs pointer",
          "Fetch the file that it refers to: git lfs pull."},
    Magic{"/annex/objects/"sv, "a git-annex pointer", "Fetch the file that it refers to: git annex get."},
    Magic{"# xet version"sv, "a Xet pointer", "Fetch the file that it refers to, for example with hf download."},
    Magic{"magnet:?"sv, "a magnet link", kTorrentClient},
    Magic{"GGUF"sv, "a GGUF model", kOtherFormat},
    Magic{"tjgg"sv, "a GGML model", kOtherFormat},
    Magic{"\x93NUMPY"sv, "a NumPy array (.npy)", kOtherFormat},
    Magic{"\x89HDF\r\n\x1a\n"sv, "an HDF5 file", kOtherFormat},
    Magic{"\x80\x02\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8P\x19"sv, "a PyTorch file", kOtherFormat},
    Magic{"\x1f\x8b"sv, "gzip data", "Unpack it: gunzip, or tar xzf for a .tar.gz."},
    Magic{"\xfd"
          "7zXZ\0"sv,
          "xz data", "Unpack it: unxz, or tar xJf for a .tar.xz."},
    Magic{"\x28\xb5\x2f\xfd"sv, "zstd data", "Unpack it: unzstd, or tar --zstd -xf for a .tar.zst."},
    Magic{"BZh"sv, "bzip2 data", "Unpack it: bunzip2, or tar xjf for a .tar.bz2."},
    Magic{"\x04\x22\x4d\x18"sv, "lz4 data", "Unpack it: unlz4."},
    Magic{"7z\xbc\xaf\x27\x1c"sv, "a 7z archive", kUnpack},
    Magic{"Rar!\x1a\x07"sv, "a RAR archive", kUnpack},
    Magic{"ustar"sv, "a tar archive", "Unpack it: tar xf.", 257},
    Magic{"%PDF-"sv, "a PDF document", kDownload},
    Magic{"\x7f"
          "ELF"sv,
          "a program (ELF)", kDownload},
    Magic{"#!"sv, "a script", kDownload},
    Magic{"\0\x05\x16\x07"sv, "a resource fork of macOS", "Copy the file of the same name without the leading \"._\"."},
    Magic{"\xff\xfe"sv, "UTF-16 text", kSaveAsUtf8},
    Magic{"\xfe\xff"sv, "UTF-16 text", kSaveAsUtf8},
    Magic{"{\0"sv, "UTF-16 text", kSaveAsUtf8},
    Magic{"\0{"sv, "UTF-16 text", kSaveAsUtf8},
};

// Keys at the start of a .torrent file's dictionary.
constexpr std::array kTorrentKeys = {"d8:announce"sv,       "d13:announce-list"sv, "d7:comment"sv, "d10:created by"sv,
                                     "d13:creation date"sv, "d8:encoding"sv,       "d4:info"sv};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

FileKind zip_kind(std::string_view head) {
  if (contains(head, "/data.pkl"sv)) return {"a PyTorch file", kOtherFormat};
  if (contains(head, ".npy"sv)) return {"a NumPy archive (.npz)", kOtherFormat};
  return {"a ZIP archive", "Unpack it: unzip."};
}

bool is_pickle(std::string_view head) { return head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5; }

// Eight bytes of size, followed by JSON.
bool is_safetensors(std::string_view head) {
  return head.size() > 9 && head[8] == '{' && head.substr(5, 3) == "\0\0\0"sv && (head[9] == '"' || head[9] == '}');
}

// Whether the bytes look like text: no control characters, and no byte that never occurs in UTF-8.
bool is_text(std::string_view head) {
  return std::all_of(head.begin(), head.end(), [](char character) {
    const auto byte = static_cast<unsigned char>(character);
    return byte >= 0x20 ? byte != 0x7f && byte < 0xf8 : character == '\n' || character == '\r' || character == '\t';
  });
}

std::optional<FileKind> text_kind(std::string_view head, Expected expected) {
  if (head.starts_with("\xef\xbb\xbf"sv)) head.remove_prefix(3);
  head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  std::string start(head.substr(0, 16));
  for (char& character : start)
    if (character >= 'A' && character <= 'Z') character = char(character - 'A' + 'a');
  for (const std::string_view tag : {"<!doctype html"sv, "<html"sv, "<head"sv, "<body"sv, "<script"sv, "<!--"sv})
    if (start.starts_with(tag))
      return FileKind{"a web page (HTML)", "The server sent a page, often about a login or a limit. Download again."};
  if (start.starts_with("<?xml"sv) || start.starts_with("<error"sv))
    return FileKind{"an XML document", "The server sent a message about an error: read it, then download again."};
  if (expected == Expected::json) return std::nullopt;
  if (start.starts_with('{') || start.starts_with('['))
    return FileKind{"JSON", expected == Expected::tokenizer
                                ? "Give SentencePiece's tokenizer.model; tokenizer.json is another format."
                                : "It may be a message from the server: read it, then download again."};
  return FileKind{"text that begins " + printable(head.substr(0, 40)), kDownload};
}

}  // namespace

std::optional<FileKind> recognize(std::string_view head, Expected expected) {
  head = head.substr(0, kFileHeadBytes);
  if (head.empty()) return FileKind{"an empty file", kDownload};
  for (const Magic& magic : kMagics)
    if (head.size() >= magic.offset && head.substr(magic.offset).starts_with(magic.bytes))
      return FileKind{magic.name, magic.fix};
  if (head.starts_with("PK\x03\x04"sv) || head.starts_with("PK\x05\x06"sv)) return zip_kind(head);
  for (const std::string_view key : kTorrentKeys)
    if (head.starts_with(key)) return FileKind{"a torrent file", kTorrentClient};
  if (head.size() >= 16 && std::all_of(head.begin(), head.end(), [](char byte) { return byte == 0; }))
    return FileKind{"nothing but zeros", "A download reserved the space and has not filled it. Let it finish."};
  if (is_pickle(head)) {
    if (expected == Expected::pickle) return std::nullopt;
    return FileKind{"a Python pickle", "Check that files were not renamed or exchanged."};
  }
  if (is_safetensors(head)) {
    if (expected == Expected::safetensors) return std::nullopt;
    return FileKind{"a safetensors file", "Give it a name that ends in .safetensors, and name that file."};
  }
  // A tokenizer starts with a line feed, the first field of a protocol buffer.
  if (expected == Expected::tokenizer && head[0] == '\n') return std::nullopt;
  if (is_text(head)) return text_kind(head, expected);
  return std::nullopt;
}

}  // namespace grok::format
