#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/tensor.h"
#include "support/files.h"

namespace grok::testing {

// numpy 1 and numpy 2 call one of their modules differently.
enum class Numpy { v1, v2 };

// An array to write: its numbers, or a hole of their size if `bytes` is empty.
struct ArrayToWrite {
  DType dtype;
  Shape shape;
  std::span<const std::byte> bytes;
};

// Pickles arrays byte for byte like Python's C pickler does with protocol 4: which objects are memoized, and the places
// where frames begin and end. Source: CPython 3.11, Modules/_pickle.c
class PickleWriter {
 public:
  PickleWriter(OutputFile& out, Numpy numpy) : out_(out), numpy_(numpy) { out_.write("\x80\x04"); }

  void write_array(const ArrayToWrite& array) {
    save_array(array);
    finish();
  }

  // QuantizedWeight8bit(weight, scales), of module __main__ as xAI saved it.
  void write_quantized(const ArrayToWrite& weight, const ArrayToWrite& scales) {
    begin_object();
    save_name("__main__", "QuantizedWeight8bit");
    begin_object();
    put(")\x81");  // EMPTY_TUPLE NEWOBJ
    memoize();
    begin_object();
    put("}");  // EMPTY_DICT
    memoize();
    put("(");  // MARK
    save_text("weight");
    save_array(weight);
    save_text("scales");
    save_array(scales);
    put("ub");  // SETITEMS BUILD
    finish();
  }

 private:
  static constexpr std::size_t kFrameTarget = 64 * 1024;
  static constexpr std::size_t kFrameMin = 4;

  // ---------------------------------------------------------------- frames

  void put(std::string_view bytes) { frame_ += bytes; }

  // A frame that is full ends before the next object.
  void begin_object() {
    if (frame_.size() >= kFrameTarget) end_frame();
  }

  void end_frame() {
    if (frame_.size() >= kFrameMin) {
      out_.write("\x95");
      out_.write(little_endian(frame_.size(), 8));
    }
    out_.write(frame_);
    frame_.clear();
  }

  void finish() {
    put(".");
    end_frame();
  }

  static std::string little_endian(std::uint64_t value, int num_bytes) {
    std::string bytes;
    for (int index = 0; index < num_bytes; ++index) bytes += char(value >> (8 * index));
    return bytes;
  }

  // ---------------------------------------------------------------- objects

  void memoize() {
    put("\x94");
    ++num_memoized_;
  }

  // Recalls the object saved under this key, or saves and memoizes it.
  template <typename Save>
  void once(const std::string& key, const Save& save) {
    const auto found = memo_.find(key);
    if (found != memo_.end()) {
      put("h" + little_endian(found->second, 1));
      return;
    }
    save();
    memo_[key] = num_memoized_;
    memoize();
  }

  void save_text(const std::string& text) {
    begin_object();
    once("text " + text, [&] { put("\x8c" + little_endian(text.size(), 1) + text); });
  }

  void save_name(const std::string& module, const std::string& name) {
    begin_object();
    once("name " + module + "." + name, [&] {
      save_text(module);
      save_text(name);
      put("\x93");  // STACK_GLOBAL
    });
  }

  void save_int(std::int64_t value) {
    begin_object();
    if (value >= 0 && value < 256) {
      put("K" + little_endian(std::uint64_t(value), 1));
    } else if (value >= 0 && value < 65536) {
      put("M" + little_endian(std::uint64_t(value), 2));
    } else {
      put("J" + little_endian(std::uint64_t(value), 4));
    }
  }

  void save_constant(const char* opcode) {
    begin_object();
    put(opcode);
  }

  void save_array(const ArrayToWrite& array) {
    begin_object();
    save_name(numpy_ == Numpy::v1 ? "numpy.core.multiarray" : "numpy._core.multiarray", "_reconstruct");
    begin_object();
    save_name("numpy", "ndarray");
    begin_object();
    save_int(0);
    put("\x85");  // TUPLE1
    memoize();
    begin_object();
    once("bytes b", [&] {
      put(
          std::string_view("C\x01"
                           "b",
                           3));
    });
    put("\x87");  // TUPLE3
    memoize();
    put("R");  // REDUCE
    memoize();

    begin_object();
    put("(");
    save_int(1);
    save_shape(array.shape);
    save_dtype(array.dtype);
    save_constant("\x89");  // NEWFALSE: C order
    save_payload(array);
    put("t");  // TUPLE
    memoize();
    put("b");  // BUILD
  }

  void save_shape(const Shape& shape) {
    begin_object();
    if (shape.size() > 3) throw Error(ErrorCode::invalid_argument, "expected at most three axes");
    for (const std::uint64_t size : shape) save_int(std::int64_t(size));
    put(shape.size() == 1 ? "\x85" : shape.size() == 2 ? "\x86" : "\x87");
    memoize();
  }

  void save_dtype(DType dtype) {
    begin_object();
    save_name("numpy", "dtype");
    begin_object();
    if (dtype == DType::bf16) {
      save_name("ml_dtypes", "bfloat16");
    } else {
      save_text(dtype == DType::f32 ? "f4" : "i1");
    }
    save_constant("\x89");
    save_constant("\x88");
    put("\x87");
    memoize();
    put("R");
    memoize();

    begin_object();
    put("(");
    save_int(3);
    save_text(dtype == DType::i8 ? "|" : "<");
    for (int count = 0; count < 3; ++count) save_constant("N");
    const bool is_native = dtype != DType::bf16;
    save_int(is_native ? -1 : 2);
    save_int(is_native ? -1 : 2);
    save_int(is_native ? 0 : 64);
    put("t");
    memoize();
    put("b");
  }

  void save_payload(const ArrayToWrite& array) {
    begin_object();
    const std::uint64_t size_bytes = checked_mul(num_elements(array.shape), size_of(array.dtype));
    if (!array.bytes.empty() && array.bytes.size() != size_bytes)
      throw Error(ErrorCode::invalid_argument, "expected the bytes of the shape");
    const std::string header =
        size_bytes < 256 ? "C" + little_endian(size_bytes, 1) : "B" + little_endian(size_bytes, 4);
    if (size_bytes >= kFrameTarget) {  // past the buffer, outside any frame
      end_frame();
      out_.write(header);
      if (array.bytes.empty()) {
        out_.skip(size_bytes);
      } else {
        out_.write(array.bytes);
      }
    } else {
      put(header);
      if (array.bytes.empty()) {
        frame_.append(size_bytes, '\0');
      } else {
        put({reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size()});
      }
    }
    memoize();
  }

  OutputFile& out_;
  Numpy numpy_;
  std::string frame_;
  std::map<std::string, std::uint64_t> memo_;
  std::uint64_t num_memoized_ = 0;
};

}  // namespace grok::testing
