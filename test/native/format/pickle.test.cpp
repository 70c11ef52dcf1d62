#include "format/pickle.h"

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "support/allocation_peak.h"
#include "support/files.h"
#include "support/golden.h"
#include "support/held_bytes.h"
#include "testing.h"

using namespace grok;
using namespace grok::format;
using namespace grok::testing;

namespace {

PickledTensor parse(const HeldBytes& bytes) { return read_pickle(bytes, bytes.size_bytes(), "tensor00007_000"); }

void parse_text(std::string_view text) { parse(HeldBytes(std::string(text))); }

// A pickle written out by hand: text with zero bytes in it.
template <std::size_t size>
std::string bytes(const char (&text)[size]) {
  return std::string(text, size - 1);
}

// _reconstruct(ndarray, (0,), b'b') in protocol 3's spelling, then the state up to its payload.
std::string array_head(const std::string& shape, const std::string& dtype_arguments, const std::string& byte_order,
                       const std::string& fortran = "\x89") {
  return bytes(
             "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
             "C\x01"
             "b\x87R(K\x01") +
         shape + "cnumpy\ndtype\n" + dtype_arguments + "\x89\x88\x87R(K\x03X" + bytes("\x01\x00\x00\x00") + byte_order +
         bytes("NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb") + fortran;
}

const std::string kF4 = bytes(
    "X\x02\x00\x00\x00"
    "f4");

std::string array_of_two(const std::string& dtype_arguments = kF4, const std::string& byte_order = "<",
                         const std::string& fortran = "\x89") {
  return "\x80\x03" + array_head("K\x02\x85", dtype_arguments, byte_order, fortran) +
         bytes(
             "C\x08"
             "01234567tb.");
}

// ---------------------------------------------------------------- goldens

struct GoldenRow {
  std::string file, name, dtype, scales_dtype;
  Shape shape, scales_shape;
  std::uint64_t file_bytes = 0, offset = 0, scales_offset = 0;
  std::int64_t int8_sum = 0;
  std::vector<std::pair<std::uint64_t, double>> samples;  // flat index, exact value
};

// The result of xAI's own code for each file.
std::vector<GoldenRow> golden_rows(const std::string& network) {
  const std::string text = read_file(golden_path(network + "/tensors.json"));
  JsonReader json(text, "tensors.json");
  std::vector<GoldenRow> rows;
  json.read_array([&] {
    GoldenRow& row = rows.emplace_back();
    json.read_object([&](const std::string& key) {
      if (key == "file")
        row.file = json.read_string();
      else if (key == "name")
        row.name = json.read_string();
      else if (key == "dtype")
        row.dtype = json.read_string();
      else if (key == "scales_dtype")
        row.scales_dtype = json.read_string();
      else if (key == "shape")
        json.read_array([&] { row.shape.push_back(json.read_size()); });
      else if (key == "scales_shape")
        json.read_array([&] { row.scales_shape.push_back(json.read_size()); });
      else if (key == "file_bytes")
        row.file_bytes = json.read_size();
      else if (key == "offset")
        row.offset = json.read_size();
      else if (key == "scales_offset")
        row.scales_offset = json.read_size();
      else if (key == "int8_sum")
        row.int8_sum = json.read_integer();
      else if (key == "samples")
        json.read_array([&] {
          std::vector<double> pair;
          json.read_array([&] { pair.push_back(json.read_number()); });
          row.samples.emplace_back(std::uint64_t(pair.at(0)), pair.at(1));
        });
      else
        json.skip();
    });
  });
  return rows;
}

template <typename T>
std::vector<T> numbers_of(const TensorView& view) {
  std::vector<T> numbers(num_elements(view.shape));
  view.read(0, std::as_writable_bytes(std::span(numbers)));
  return numbers;
}

// The dequantized value at a flat index.
double value_at(const PickledTensor& tensor, std::uint64_t index) {
  if (!tensor.scales) return numbers_of<float>(tensor.weight)[index];
  const Shape& shape = tensor.weight.shape;
  const std::uint64_t d_out = shape.back(), d_in = shape[shape.size() - 2];
  const std::uint64_t num_groups = tensor.scales->shape[shape.size() - 2];
  const std::uint64_t column = index % d_out, row = index / d_out % d_in, expert = index / d_out / d_in;
  const std::uint64_t group = row / (d_in / num_groups);
  return double(numbers_of<std::int8_t>(tensor.weight)[index]) *
         double(bf16_to_f32(numbers_of<std::uint16_t>(*tensor.scales)[(expert * num_groups + group) * d_out + column]));
}

void check_row(const PickledTensor& tensor, const GoldenRow& row, std::uint64_t shift) {
  CHECK(tensor.weight.shape == row.shape);
  CHECK_EQ(tensor.weight.offset, row.offset + shift);
  CHECK_EQ(row.dtype, tensor.weight.dtype == DType::f32 ? "float32" : "int8");
  CHECK_EQ(tensor.scales.has_value(), row.scales_dtype == "bfloat16");
  if (tensor.scales) {
    CHECK(tensor.scales->dtype == DType::bf16);
    CHECK(tensor.scales->shape == row.scales_shape);
    CHECK_EQ(tensor.scales->offset, row.scales_offset + shift);
    std::int64_t sum = 0;
    for (const std::int8_t value : numbers_of<std::int8_t>(tensor.weight)) sum += value;
    CHECK_EQ(sum, row.int8_sum);
  }
  for (const auto& [index, value] : row.samples) CHECK_EQ(value_at(tensor, index), value);
}

}  // namespace

// ---------------------------------------------------------------- misuse

TEST("runs nothing: a pickle that names os.system is refused by that name") {
  CHECK_ERROR(
      parse_text("\x80\x04"
                 "cos\nsystem\nX\x02\x00\x00\x00id\x85R."),
      ErrorCode::bad_checkpoint,
      "tensor00007_000: byte 2: expected one of the five names of a Grok-1 checkpoint, found \"os\".\"system\"");
  CHECK_ERROR(parse_text(bytes("\x80\x04\x8c\x08"
                               "builtins\x8c\x04"
                               "eval\x93\x8c\x01"
                               "1\x85R.")),
              ErrorCode::bad_checkpoint, "\"builtins\".\"eval\"");
  CHECK_ERROR(parse_text(bytes("\x80\x04\x8c\x05"
                               "numpy\x8c\x04"
                               "load\x93.")),
              ErrorCode::bad_checkpoint, "\"numpy\".\"load\"");
}

TEST("calls nothing but the two builders: known names in wrong places are refused") {
  const std::string quantized = "c__main__\nQuantizedWeight8bit\n";
  CHECK_ERROR(parse_text("\x80\x04" + quantized + ")R."), ErrorCode::bad_checkpoint,
              "a call of _reconstruct or numpy.dtype");
  CHECK_ERROR(parse_text("\x80\x04"
                         "cnumpy\nndarray\n)\x81."),
              ErrorCode::bad_checkpoint, "QuantizedWeight8bit");
  CHECK_ERROR(parse_text("\x80\x04" + quantized + "K\x01\x85\x81."), ErrorCode::bad_checkpoint, "no arguments");
  CHECK_ERROR(parse_text("\x80\x04)" + quantized + "R."), ErrorCode::bad_checkpoint, "a name to call");
  CHECK_ERROR(parse_text("\x80\x04)N\x81."), ErrorCode::bad_checkpoint, "a tuple");
}

TEST("refuses every instruction that no Grok-1 pickle has, with its place") {
  const std::string known = bytes("(.JKMNRX)BCbchjqrtu}\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x8d\x8e\x93\x94\x95");
  int num_refused = 0;
  for (int opcode = 0; opcode < 256; ++opcode) {
    if (known.find(char(opcode)) != std::string::npos) continue;
    CHECK_ERROR(parse_text(std::string("\x80\x04N") + char(opcode) + std::string(300, '\0')), ErrorCode::bad_checkpoint,
                concat("byte 3: expected an instruction of a Grok-1 pickle, found opcode ", opcode));
    ++num_refused;
  }
  CHECK_EQ(num_refused, 256 - 34);
}

TEST("says of a file of another kind that it is not a pickle") {
  for (const char* text : {"PK\x03\x04", "GGUF", "{\"a\":1}", "version https://git-lfs.github.com/spec/v1"})
    CHECK_ERROR(parse_text(text), ErrorCode::bad_checkpoint, "expected a pickle");
  CHECK_ERROR(parse_text("\x80\x01."), ErrorCode::bad_checkpoint, "expected pickle protocol 2 to 5, found 1");
  CHECK_ERROR(parse_text("\x80\x06."), ErrorCode::bad_checkpoint, "found 6");
}

TEST("refuses bombs: endless objects, marks, memo entries and text") {
  const std::string start = "\x80\x04";
  CHECK_ERROR(parse_text(start + std::string(100'000, 'N')), ErrorCode::bad_checkpoint, "at most 512 objects");
  CHECK_ERROR(parse_text(start + std::string(100'000, '(')), ErrorCode::bad_checkpoint, "at most 512 marks");
  CHECK_ERROR(parse_text(start + "N" + std::string(100'000, '\x94')), ErrorCode::bad_checkpoint,
              "at most 512 remembered");
  CHECK_ERROR(parse_text(start + "N\x85" + std::string(100'000, '\x85')), ErrorCode::bad_checkpoint,
              "at most 512 objects");
  std::string recalls = start + "N\x94";
  for (int count = 0; count < 10'000; ++count) recalls += bytes("h\x00");
  CHECK_ERROR(parse_text(recalls), ErrorCode::bad_checkpoint, "at most 512 values on the stack");
  CHECK_ERROR(parse_text(start + "c" + std::string(100'000, 'a')), ErrorCode::bad_checkpoint, "a line of at most 256");
  CHECK_ERROR(parse_text(start + "X" + bytes("\x00\x10\x00\x00") + std::string(5000, 'a')), ErrorCode::bad_checkpoint,
              "text of at most 256 bytes, found 4096");
  // Ten levels of ten references to the level below: ten thousand million objects, if anyone unfolded them.
  std::string laughs = start + "N\x94";
  for (char level = 0; level < 10; ++level) {
    laughs += "(";
    for (int reference = 0; reference < 10; ++reference) laughs += std::string("h") + level;
    laughs += "t\x94";
  }
  const AllocationPeak peak;
  CHECK_ERROR(parse_text(laughs + "."), ErrorCode::bad_checkpoint, "one object at the end");
  CHECK(peak.bytes() < 64 * 1024);
}

TEST("refuses lengths that point past the file, without allocating for them") {
  const AllocationPeak peak;
  const std::string start = "\x80\x04";
  CHECK_ERROR(parse_text(start + "B\xff\xff\xff\xff."), ErrorCode::bad_checkpoint,
              "expected 4294967295 bytes of payload, found 1 to the end of the file");
  CHECK_ERROR(parse_text(start + "\x8e" + std::string(8, '\xff') + "."), ErrorCode::bad_checkpoint,
              "expected 18446744073709551615 bytes of payload");
  CHECK_ERROR(parse_text(start + "\x8d" + std::string(8, '\xff') + "."), ErrorCode::bad_checkpoint, "bytes of text");
  CHECK_ERROR(parse_text(start + "X\xff\xff\xff\xff."), ErrorCode::bad_checkpoint, "bytes of text");
  CHECK(peak.bytes() < 16 * 1024);
}

TEST("refuses shapes that are negative, empty, overflow, or disagree with their bytes") {
  const auto with_shape = [](const std::string& shape) {
    return "\x80\x03" + array_head(shape, kF4, "<") +
           bytes(
               "C\x08"
               "01234567tb.");
  };
  CHECK_ERROR(parse_text(with_shape("J\xfe\xff\xff\xff\x85")), ErrorCode::bad_checkpoint,
              "an axis of 1 or more, found -2");
  CHECK_ERROR(parse_text(with_shape("\x8a\x01\x80\x85")), ErrorCode::bad_checkpoint,
              "an axis of 1 or more, found -128");
  CHECK_ERROR(parse_text(with_shape(bytes("K\x00\x85"))), ErrorCode::bad_checkpoint, "an axis of 1 or more, found 0");
  CHECK_ERROR(parse_text(with_shape(")")), ErrorCode::bad_checkpoint, "1 to 8 axes, found 0");
  CHECK_ERROR(parse_text(with_shape("(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x02t")), ErrorCode::bad_checkpoint,
              "found 9");
  CHECK_ERROR(parse_text(with_shape("\x8a\x08" + bytes("\x00\x00\x00\x00\x00\x00\x00\x40") + "K\x04\x86")),
              ErrorCode::bad_checkpoint, "a shape that fits the file, found [4611686018427387904, 4]");
  CHECK_ERROR(parse_text(with_shape("\x8a\x08" + bytes("\x01\x00\x00\x00\x00\x00\x00\x40") + "\x85")),
              ErrorCode::bad_checkpoint, "a shape that fits the file");
  CHECK_ERROR(parse_text(with_shape("\x8a\x09" + std::string(9, '\x01') + "\x85")), ErrorCode::bad_checkpoint,
              "an integer of at most 8 bytes");
  CHECK_ERROR(parse_text(with_shape("K\x03\x85")), ErrorCode::bad_checkpoint, "expected 12 bytes for f32 [3], found 8");
  CHECK_ERROR(parse_text(with_shape("N\x85")), ErrorCode::bad_checkpoint, "the size of an axis");
}

TEST("says of sound arrays of another kind that they are not supported") {
  CHECK_ERROR(parse_text(array_of_two(kF4, "<", "\x88")), ErrorCode::unsupported,
              "expected C order, found Fortran order");
  CHECK_ERROR(parse_text(array_of_two(kF4, ">")), ErrorCode::unsupported, "expected little-endian numbers");
  CHECK_ERROR(parse_text(array_of_two(bytes("X\x02\x00\x00\x00"
                                            "f8"))),
              ErrorCode::unsupported, "expected the dtype f4, i1 or bfloat16, found \"f8\"");
  CHECK_ERROR(parse_text(array_of_two(bytes("X\x02\x00\x00\x00"
                                            "O8"))),
              ErrorCode::unsupported, "found \"O8\"");
}

TEST("refuses a stack that runs empty, marks that are left, and values below a mark") {
  for (const char* text :
       {".", "t", "\x85.", "R", "b", "u", "\x93", "\x94", "N(b", "N(\x94", "(N.", "NN.", "(.", "h\x01"})
    CHECK_ERROR(parse_text(std::string("\x80\x04") + text), ErrorCode::bad_checkpoint, "tensor00007_000: byte ");
}

TEST("refuses a state given twice, a weight without scales, and one object too many") {
  const std::string two = array_of_two();
  const std::string without_stop = two.substr(0, two.size() - 1);
  CHECK_ERROR(parse_text(without_stop + ")b."), ErrorCode::bad_checkpoint, "an array without state");
  CHECK_ERROR(parse_text(without_stop + "N."), ErrorCode::bad_checkpoint, "one object at the end");
  CHECK_ERROR(parse_text("\x80\x04"
                         "c__main__\nQuantizedWeight8bit\n)\x81}b."),
              ErrorCode::bad_checkpoint, "weight and scales, found no weight");
  CHECK_ERROR(parse_text("\x80\x04"
                         "c__main__\nQuantizedWeight8bit\n)\x81."),
              ErrorCode::bad_checkpoint, "at the end");
  CHECK_ERROR(parse_text("\x80\x04N."), ErrorCode::bad_checkpoint,
              "an array or a QuantizedWeight8bit at the end, found None");
}

TEST("refuses what follows the pickle: a second one, or garbage") {
  CHECK_ERROR(parse_text(array_of_two() + "x"), ErrorCode::bad_checkpoint,
              "the end of the file after the pickle, found 1 more");
}

TEST("keeps a hostile name from writing to the terminal") {
  CHECK_ERROR(parse_text("\x80\x04"
                         "c\x1b]0;x\nname\n."),
              ErrorCode::bad_checkpoint, "\\x1b]0;x");
}

// ---------------------------------------------------------------- edges

TEST("reads the spellings of other protocols and tools") {
  const HeldBytes plain(array_of_two());
  const PickledTensor tensor = parse(plain);
  CHECK(tensor.weight.dtype == DType::f32);
  CHECK(tensor.weight.shape == Shape({2}));
  CHECK_EQ(plain.bytes.substr(tensor.weight.offset, 8), "01234567");
  CHECK(!tensor.scales);

  // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET, LONG1, BINBYTES8, FRAME, numpy 2's module, dtype flags as integers.
  std::string text = bytes(
      "\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7f"
      "cnumpy._core.multiarray\n_reconstruct\nq\x07"
      "cnumpy\nndarray\nr\x00\x01\x00\x00K\x00\x85"
      "C\x01"
      "b\x87R(\x8a\x01\x01\x8a\x02\x02\x00\x85"
      "cnumpy\ndtype\n\x8d\x02\x00\x00\x00\x00\x00\x00\x00"
      "f4K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<"
      "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89");
  text += bytes(
      "\x8e\x08\x00\x00\x00\x00\x00\x00\x00"
      "01234567tb.");
  const HeldBytes other(text);
  const PickledTensor same = parse(other);
  CHECK(same.weight.shape == Shape({2}));
  CHECK_EQ(other.bytes.substr(same.weight.offset, 8), "01234567");
}

TEST("reads a weight saved by a class of another module, in either order of its parts, numbered by hand") {
  const auto array = [](const std::string& dtype, const std::string& order, const std::string& payload) {
    return array_head("K\x01K\x02\x86", dtype, order) + "C" + char(payload.size()) + payload + "tb";
  };
  const std::string i1 = array(bytes("X\x02\x00\x00\x00"
                                     "i1"),
                               "|", "ab");
  const std::string bf16 = array("cml_dtypes\nbfloat16\n", "<", "wxyz");
  const HeldBytes bytes_of_model(
      "\x80\x03"
      "cmodel\nQuantizedWeight8bit\n)\x81}(" +
      bytes("X\x06\x00\x00\x00scales") + bf16 + bytes("X\x06\x00\x00\x00weight") + i1 + "ub.");
  const PickledTensor tensor = parse(bytes_of_model);
  CHECK(tensor.weight.dtype == DType::i8);
  CHECK(tensor.scales->dtype == DType::bf16);
  CHECK_EQ(bytes_of_model.bytes.substr(tensor.weight.offset, 2), "ab");
  CHECK_EQ(bytes_of_model.bytes.substr(tensor.scales->offset, 4), "wxyz");
}

// ---------------------------------------------------------------- the real framing

TEST("finds every golden tensor where xAI's own code found it, with the same numbers") {
  for (const char* network : {"ref-small", "ref-order", "ref-wide"}) {
    const std::vector<GoldenRow> rows = golden_rows(network);
    CHECK(rows.size() >= 26);
    for (const GoldenRow& row : rows) {
      const HeldBytes file(read_file(golden_path(concat(network, "/ckpt-0/", row.file))));
      CHECK_EQ(file.size_bytes(), row.file_bytes);
      check_row(parse(file), row, 0);
    }
  }
}

TEST("reads numpy 2's framing: the same numbers, one byte later") {
  for (const GoldenRow& row : golden_rows("ref-small")) {
    const HeldBytes file(read_file(golden_path("ref-small-numpy2/ckpt-0/" + row.file)));
    check_row(parse(file), row, 1);
  }
}

TEST("allocates a few kilobytes for a file of any size") {
  const HeldBytes file(read_file(golden_path("ref-wide/ckpt-0/tensor00003_000")));
  const AllocationPeak peak;
  parse(file);
  CHECK(peak.bytes() < 32 * 1024);
}

TEST_MAIN()
