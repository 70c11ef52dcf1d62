#include "format/pickle.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/printable.h"

namespace grok::format {
namespace {

// xAI's largest framing builds 55 objects, memoizes 40 of them, and has 12 on the stack.
constexpr std::size_t kMaxObjects = 512;
constexpr std::size_t kMaxText = 256;
constexpr std::size_t kMaxRank = 8;

constexpr const char* kNotOurs =
    "This is not a file of a Grok-1 checkpoint. Do not open it with Python's pickle either: that could run code.";
constexpr const char* kResave =
    "Save the arrays again as C-ordered, little-endian float32, int8 or bfloat16, pickle protocol 4.";

// Source: Python, Lib/pickletools.py
enum class Op : unsigned char {
  mark = '(',
  stop = '.',
  binint = 'J',
  binint1 = 'K',
  binint2 = 'M',
  none = 'N',
  reduce = 'R',
  binunicode = 'X',
  empty_tuple = ')',
  binbytes = 'B',
  short_binbytes = 'C',
  build = 'b',
  global = 'c',
  binget = 'h',
  long_binget = 'j',
  binput = 'q',
  long_binput = 'r',
  tuple = 't',
  setitems = 'u',
  empty_dict = '}',
  proto = 0x80,
  newobj = 0x81,
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  newtrue = 0x88,
  newfalse = 0x89,
  long1 = 0x8a,
  short_binunicode = 0x8c,
  binunicode8 = 0x8d,
  binbytes8 = 0x8e,
  stack_global = 0x93,
  memoize = 0x94,
  frame = 0x95,
};

// ---------------------------------------------------------------- objects

// Objects refer to each other by number, because the memo lets several objects share one.
using ObjectId = std::size_t;

struct None {};
struct Payload {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};
struct Tuple {
  std::vector<ObjectId> items;
};
struct Dict {
  std::vector<std::pair<ObjectId, ObjectId>> members;
};
enum class Name { reconstruct, ndarray, dtype, bfloat16, quantized_weight };
struct Dtype {
  DType type;
  bool has_state = false;
};
struct Array {
  std::optional<TensorView> view;  // set by its state
};
struct Quantized {
  std::optional<PickledTensor> parts;  // set by its state
};

using Object = std::variant<None, bool, std::int64_t, std::string, Payload, Tuple, Dict, Name, Dtype, Array, Quantized>;

constexpr std::array<const char*, std::variant_size_v<Object>> kKindNames = {
    "None",    "a bool",   "an integer",           "a string", "bytes", "a tuple", "a dict", "a name",
    "a dtype", "an array", "a QuantizedWeight8bit"};

// ---------------------------------------------------------------- the reader

class PickleReader {
 public:
  PickleReader(const ByteSource& source, std::uint64_t size_bytes, const std::string& file)
      : source_(source), size_bytes_(size_bytes), file_(file) {}

  PickledTensor read() {
    read_protocol();
    while (step()) {
    }
    return result();
  }

 private:
  // -------------------------------------------------------------- bytes

  std::uint64_t left() const { return size_bytes_ - position_; }

  void need(std::uint64_t count, const char* what) const {
    if (count > left())
      throw Error(ErrorCode::bad_checkpoint,
                  concat(file_, ": byte ", position_, ": expected ", count, " bytes of ", what, ", found ", left(),
                         " to the end of the file"),
                  "The file is cut short or damaged. Download it again.");
  }

  std::byte next_byte(const char* what) {
    need(1, what);
    if (position_ < window_begin_ || position_ >= window_begin_ + window_size_) {
      window_begin_ = position_;
      window_size_ = std::min<std::uint64_t>(window_.size(), left());
      source_.read(window_begin_, std::span(window_).first(window_size_));
    }
    return window_[position_++ - window_begin_];
  }

  std::uint64_t next_uint(int num_bytes, const char* what) {
    need(std::uint64_t(num_bytes), what);
    std::uint64_t value = 0;
    for (int index = 0; index < num_bytes; ++index) value |= std::uint64_t(next_byte(what)) << (8 * index);
    return value;
  }

  std::string next_text(std::uint64_t length) {
    need(length, "text");
    if (length > kMaxText) fail(concat("text of at most ", kMaxText, " bytes"), concat(length, " bytes"));
    std::string text;
    for (std::uint64_t index = 0; index < length; ++index) text += char(next_byte("text"));
    return text;
  }

  std::string next_line() {
    std::string text;
    for (char character; (character = char(next_byte("a line"))) != '\n';) {
      if (text.size() == kMaxText) fail(concat("a line of at most ", kMaxText, " bytes"), "a longer one");
      text += character;
    }
    return text;
  }

  // -------------------------------------------------------------- errors

  [[noreturn]] void fail(const std::string& expected, const std::string& found,
                         ErrorCode code = ErrorCode::bad_checkpoint, const char* hint = "") const {
    throw Error(code, concat(file_, ": byte ", op_position_, ": expected ", expected, ", found ", found), hint);
  }

  std::string describe(ObjectId id) const {
    const Object& object = objects_[id];
    if (const auto* text = std::get_if<std::string>(&object)) return printable(*text);
    if (const auto* integer = std::get_if<std::int64_t>(&object)) return concat(*integer);
    return kKindNames[object.index()];
  }

  // -------------------------------------------------------------- stack and memo

  ObjectId push(Object object) {
    if (objects_.size() == kMaxObjects) fail(concat("at most ", kMaxObjects, " objects"), "more");
    objects_.push_back(std::move(object));
    stack_.push_back(objects_.size() - 1);
    return stack_.back();
  }

  ObjectId pop() {
    if (stack_.size() <= floor()) fail("a value on the stack", "none");
    const ObjectId id = stack_.back();
    stack_.pop_back();
    return id;
  }

  ObjectId top() const {
    if (stack_.size() <= floor()) fail("a value on the stack", "none");
    return stack_.back();
  }

  // Values below the innermost mark are inaccessible.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  std::vector<ObjectId> pop_to_mark() {
    if (marks_.empty()) fail("a mark on the stack", "none");
    const std::vector<ObjectId> items(stack_.begin() + std::ptrdiff_t(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  void push_tuple(std::size_t size) {
    Tuple tuple;
    tuple.items.resize(size);
    for (std::size_t index = size; index-- > 0;) tuple.items[index] = pop();
    push(std::move(tuple));
  }

  void remember(std::uint64_t number) {
    if (memo_.size() == kMaxObjects) fail(concat("at most ", kMaxObjects, " remembered objects"), "more");
    memo_[number] = top();
  }

  void recall(std::uint64_t number) {
    const auto entry = memo_.find(number);
    if (entry == memo_.end()) fail("a remembered object", concat("number ", number, ", which is not one"));
    if (stack_.size() == kMaxObjects) fail(concat("at most ", kMaxObjects, " values on the stack"), "more");
    stack_.push_back(entry->second);
  }

  template <typename Kind>
  Kind& as(ObjectId id, const char* expected) {
    Kind* const found = std::get_if<Kind>(&objects_[id]);
    if (!found) fail(expected, describe(id));
    return *found;
  }

  // -------------------------------------------------------------- instructions

  void read_protocol() {
    if (Op(next_byte("a pickle")) != Op::proto)
      fail("a pickle (its first byte is 0x80)", "something else", ErrorCode::bad_checkpoint, kNotOurs);
    const std::uint64_t protocol = next_uint(1, "the protocol number");
    if (protocol < 2 || protocol > 5) fail("pickle protocol 2 to 5", concat(protocol));
  }

  // False after the last instruction.
  bool step() {
    op_position_ = position_;
    const Op op = Op(next_byte("the next instruction (the pickle has no end)"));
    switch (op) {
      case Op::frame: next_uint(8, "a frame's length"); break;  // only useful for reading ahead
      case Op::mark:
        if (marks_.size() == kMaxObjects) fail(concat("at most ", kMaxObjects, " marks"), "more");
        marks_.push_back(stack_.size());
        break;

      case Op::none: push(None{}); break;
      case Op::newtrue: push(true); break;
      case Op::newfalse: push(false); break;
      case Op::binint: push(std::int64_t(std::int32_t(next_uint(4, "an integer")))); break;
      case Op::binint1: push(std::int64_t(next_uint(1, "an integer"))); break;
      case Op::binint2: push(std::int64_t(next_uint(2, "an integer"))); break;
      case Op::long1: push_long(); break;

      case Op::short_binunicode: push(next_text(next_uint(1, "a length"))); break;
      case Op::binunicode: push(next_text(next_uint(4, "a length"))); break;
      case Op::binunicode8: push(next_text(next_uint(8, "a length"))); break;
      case Op::short_binbytes: push_payload(next_uint(1, "a length")); break;
      case Op::binbytes: push_payload(next_uint(4, "a length")); break;
      case Op::binbytes8: push_payload(next_uint(8, "a length")); break;

      case Op::empty_tuple: push(Tuple{}); break;
      case Op::tuple1: push_tuple(1); break;
      case Op::tuple2: push_tuple(2); break;
      case Op::tuple3: push_tuple(3); break;
      case Op::tuple: push(Tuple{pop_to_mark()}); break;
      case Op::empty_dict: push(Dict{}); break;
      case Op::setitems: set_items(); break;

      case Op::memoize: remember(memo_.size()); break;
      case Op::binput: remember(next_uint(1, "a number")); break;
      case Op::long_binput: remember(next_uint(4, "a number")); break;
      case Op::binget: recall(next_uint(1, "a number")); break;
      case Op::long_binget: recall(next_uint(4, "a number")); break;

      case Op::global: {
        const std::string module = next_line();
        push(resolve(module, next_line()));
        break;
      }
      case Op::stack_global: {
        const std::string name = as<std::string>(pop(), "a name");
        push(resolve(as<std::string>(pop(), "a module"), name));
        break;
      }
      case Op::reduce: reduce(); break;
      case Op::newobj: new_object(); break;
      case Op::build: build(); break;

      case Op::stop: return false;
      default: {
        const auto code = static_cast<unsigned char>(op);
        fail("an instruction of a Grok-1 pickle",
             concat("opcode ", int(code), " ", printable(std::string(1, char(code)))), ErrorCode::bad_checkpoint,
             kNotOurs);
      }
    }
    return true;
  }

  void push_long() {
    const int num_bytes = int(next_uint(1, "a length"));
    if (num_bytes > 8) fail("an integer of at most 8 bytes", concat(num_bytes));
    std::uint64_t bits = next_uint(num_bytes, "an integer");
    const bool negative = num_bytes > 0 && (bits >> (8 * num_bytes - 1)) != 0;
    if (negative && num_bytes < 8) bits |= ~std::uint64_t(0) << (8 * num_bytes);
    push(std::int64_t(bits));
  }

  // Skips the array's numbers. Their end is checked, so no later offset can lie past the end of the file.
  void push_payload(std::uint64_t size_bytes) {
    need(size_bytes, "payload");
    push(Payload{position_, size_bytes});
    position_ += size_bytes;
  }

  void set_items() {
    const std::vector<ObjectId> items = pop_to_mark();
    Dict& dict = as<Dict>(top(), "a dict");
    if (items.size() % 2 != 0) fail("keys and values in pairs", concat(items.size(), " objects"));
    for (std::size_t index = 0; index < items.size(); index += 2)
      dict.members.emplace_back(items[index], items[index + 1]);
  }

  // Names are compared but never imported. The dataclass belonged to __main__ when xAI saved it.
  Name resolve(const std::string& module, const std::string& name) const {
    if ((module == "numpy.core.multiarray" || module == "numpy._core.multiarray") && name == "_reconstruct")
      return Name::reconstruct;
    if (module == "numpy" && name == "ndarray") return Name::ndarray;
    if (module == "numpy" && name == "dtype") return Name::dtype;
    if (module == "ml_dtypes" && name == "bfloat16") return Name::bfloat16;
    if (name == "QuantizedWeight8bit") return Name::quantized_weight;
    // Protocols 5 and 2 write arrays with these names, so sound files may contain them.
    const bool is_other_protocol = name == "_frombuffer" || (module == "_codecs" && name == "encode");
    fail("one of the five names of a Grok-1 checkpoint", concat(printable(module), ".", printable(name)),
         ErrorCode::bad_checkpoint, is_other_protocol ? kResave : kNotOurs);
  }

  // _reconstruct(ndarray, (0,), b'b') or dtype('f4', False, True)
  void reduce() {
    const ObjectId arguments_id = pop();
    const ObjectId callee_id = pop();
    const Name callee = as<Name>(callee_id, "a name to call");
    const std::vector<ObjectId>& arguments = as<Tuple>(arguments_id, "arguments in a tuple").items;
    if (callee == Name::reconstruct) {
      check_array_arguments(arguments);
      push(Array{});
    } else if (callee == Name::dtype) {
      if (arguments.size() != 3) fail("3 arguments of numpy.dtype", concat(arguments.size()));
      push(Dtype{named_type(arguments[0])});
    } else {
      fail("a call of _reconstruct or numpy.dtype", "another", ErrorCode::bad_checkpoint, kNotOurs);
    }
  }

  void check_array_arguments(const std::vector<ObjectId>& arguments) {
    if (arguments.size() != 3) fail("3 arguments of _reconstruct", concat(arguments.size()));
    if (as<Name>(arguments[0], "numpy.ndarray") != Name::ndarray) fail("numpy.ndarray", "another name");
    const Tuple& shape = as<Tuple>(arguments[1], "the shape (0,)");
    if (shape.items.size() != 1 || as<std::int64_t>(shape.items[0], "the shape (0,)") != 0)
      fail("the shape (0,)", "another shape");
    const Payload& code = as<Payload>(arguments[2], "b'b'");
    if (code.size_bytes != 1) fail("b'b'", concat(code.size_bytes, " bytes"));
  }

  DType named_type(ObjectId id) {
    if (const Name* name = std::get_if<Name>(&objects_[id])) {
      if (*name == Name::bfloat16) return DType::bf16;
      fail("the dtype f4, i1 or bfloat16", "another name");
    }
    const std::string& text = as<std::string>(id, "the dtype f4, i1 or bfloat16");
    if (text == "f4") return DType::f32;
    if (text == "i1") return DType::i8;
    fail("the dtype f4, i1 or bfloat16", printable(text), ErrorCode::unsupported, kResave);
  }

  void new_object() {
    const ObjectId arguments_id = pop();
    const ObjectId class_id = pop();
    if (as<Name>(class_id, "a class") != Name::quantized_weight)
      fail("the class QuantizedWeight8bit", "another", ErrorCode::bad_checkpoint, kNotOurs);
    if (!as<Tuple>(arguments_id, "arguments in a tuple").items.empty()) fail("no arguments", "some");
    push(Quantized{});
  }

  void build() {
    const ObjectId state_id = pop();
    Object& target = objects_[top()];
    if (Array* array = std::get_if<Array>(&target)) {
      if (array->view) fail("an array without state", "one that has it");
      array->view = array_view(as<Tuple>(state_id, "an array's state in a tuple").items);
    } else if (Dtype* dtype = std::get_if<Dtype>(&target)) {
      check_dtype_state(*dtype, as<Tuple>(state_id, "a dtype's state in a tuple").items);
      dtype->has_state = true;
    } else if (Quantized* quantized = std::get_if<Quantized>(&target)) {
      if (quantized->parts) fail("a QuantizedWeight8bit without state", "one that has it");
      quantized->parts = parts(as<Dict>(state_id, "a QuantizedWeight8bit's state in a dict"));
    } else {
      fail("an array, a dtype or a QuantizedWeight8bit to build", describe(top()));
    }
  }

  // (3, '<' or '|', None, None, None, item size, alignment, flags): the last three are -1, -1, 0 or internal to numpy.
  void check_dtype_state(const Dtype& dtype, const std::vector<ObjectId>& state) {
    if (dtype.has_state) fail("a dtype without state", "one that has it");
    if (state.size() != 8) fail("8 values of a dtype's state", concat(state.size()));
    if (as<std::int64_t>(state[0], "version 3 of a dtype's state") != 3)
      fail("version 3 of a dtype's state", describe(state[0]));
    const std::string& order = as<std::string>(state[1], "a byte order");
    if (order == ">") fail("little-endian numbers", "big-endian ones", ErrorCode::unsupported, kResave);
    if (order != (dtype.type == DType::i8 ? "|" : "<")) fail("the byte order of the dtype", printable(order));
    for (std::size_t index = 2; index < 5; ++index) as<None>(state[index], "None: no fields, no subtype");
    for (std::size_t index = 5; index < 8; ++index) as<std::int64_t>(state[index], "an integer");
  }

  // (1, shape, dtype, Fortran order?, bytes)
  TensorView array_view(const std::vector<ObjectId>& state) {
    if (state.size() != 5) fail("5 values of an array's state", concat(state.size()));
    if (as<std::int64_t>(state[0], "version 1 of an array's state") != 1)
      fail("version 1 of an array's state", describe(state[0]));
    const Tuple& shape = as<Tuple>(state[1], "a shape");
    const Dtype& dtype = as<Dtype>(state[2], "a dtype");
    const bool fortran_order = as<bool>(state[3], "True or False for Fortran order");
    const Payload& payload = as<Payload>(state[4], "an array's bytes");

    if (!dtype.has_state) fail("a dtype with its byte order", "one without");
    if (fortran_order) fail("C order", "Fortran order", ErrorCode::unsupported, kResave);
    TensorView view{.dtype = dtype.type, .shape = {}, .source = &source_, .offset = payload.offset};
    if (shape.items.empty() || shape.items.size() > kMaxRank)
      fail(concat("1 to ", kMaxRank, " axes"), concat(shape.items.size()));
    for (const ObjectId item : shape.items) {
      const std::int64_t size = as<std::int64_t>(item, "the size of an axis");
      if (size <= 0) fail("an axis of 1 or more", concat(size));
      view.shape.push_back(std::uint64_t(size));
    }
    std::uint64_t expected_bytes = 0;
    try {
      expected_bytes = view.size_bytes();
    } catch (const Error&) {
      fail("a shape that fits the file", to_string(view.shape));
    }
    if (expected_bytes != payload.size_bytes)
      fail(concat(expected_bytes, " bytes for ", name_of(view.dtype), " ", to_string(view.shape)),
           concat(payload.size_bytes));
    return view;
  }

  PickledTensor parts(const Dict& state) {
    std::optional<TensorView> weight, scales;
    for (const auto& [key_id, value_id] : state.members) {
      const std::string& key = as<std::string>(key_id, "\"weight\" or \"scales\"");
      if (key != "weight" && key != "scales") fail("\"weight\" or \"scales\"", printable(key));
      std::optional<TensorView>& part = key == "weight" ? weight : scales;
      if (part) fail(concat(key, " once"), "it twice");
      part = as<Array>(value_id, "an array").view;
      if (!part) fail("an array with its state", "one without");
    }
    if (!weight || !scales) fail("weight and scales", weight ? "no scales" : "no weight");
    return {.weight = *weight, .scales = scales};
  }

  PickledTensor result() {
    if (position_ != size_bytes_)
      fail("the end of the file after the pickle", concat(left(), " more bytes"), ErrorCode::bad_checkpoint,
           "Something was appended to the file. Download it again.");
    if (stack_.size() != 1 || !marks_.empty()) fail("one object at the end", concat(stack_.size()));
    const Object& object = objects_[stack_.back()];
    if (const auto* array = std::get_if<Array>(&object); array && array->view)
      return {.weight = *array->view, .scales = std::nullopt};
    if (const auto* quantized = std::get_if<Quantized>(&object); quantized && quantized->parts)
      return *quantized->parts;
    fail("an array or a QuantizedWeight8bit at the end", describe(stack_.back()));
  }

  const ByteSource& source_;
  const std::uint64_t size_bytes_;
  const std::string& file_;

  std::uint64_t position_ = 0;
  std::uint64_t op_position_ = 0;  // of the current instruction
  std::array<std::byte, 256> window_{};
  std::uint64_t window_begin_ = 0;
  std::uint64_t window_size_ = 0;

  std::vector<Object> objects_;
  std::vector<ObjectId> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::map<std::uint64_t, ObjectId> memo_;
};

}  // namespace

PickledTensor read_pickle(const ByteSource& source, std::uint64_t size_bytes, const std::string& file) {
  return PickleReader(source, size_bytes, file).read();
}

}  // namespace grok::format
