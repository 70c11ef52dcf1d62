#include <atomic>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "napi/convert.h"
#include "napi/engine_thread.h"
#include "napi/errors.h"
#include "napi/model_wrap.h"
#include "napi/napi_setup.h"
#include "runtime/devices.h"
#include "runtime/disk_probe.h"
#include "runtime/engine.h"
#include "runtime/inspection.h"
#include "runtime/probe.h"
#include "runtime/synthetic.h"
#include "runtime/tokenizer_file.h"

namespace grok::napi {
namespace {

using ThreadPtr = std::shared_ptr<EngineThread>;
using TurnPtr = std::shared_ptr<FileTurn>;

// Runs read(path) on its own thread, which may wait for files.
template <typename Read, typename ToJs>
Napi::Value run_reading(const Napi::CallbackInfo& info, Read read, ToJs to_js) {
  const std::string path = string_from(info[0], "path");
  const auto thread = EngineThread::start(info.Env());
  const auto turn = std::make_shared<FileTurn>(path);
  thread->on_interrupt([turn] { return !turn->give_up(); });
  const Napi::Function abandon = abandon_function(info.Env(), thread);
  const Napi::Promise promise = thread->run(
      info.Env(), [turn, path, read = std::move(read)] { return turn->take([&] { return read(path); }); },
      [thread, turn, to_js = std::move(to_js)](Napi::Env env, auto result) {
        turn->throw_if_given_up();
        return to_js(env, std::move(result), thread, turn);
      });
  promise.Set("abandon", abandon);
  return promise;
}

Napi::Value open(const Napi::CallbackInfo& info) {
  return run_reading(
      info,
      [options = engine_options_from(info[1])](const std::string& path) {
        return std::shared_ptr<runtime::Engine>(runtime::Engine::open(path, options));
      },
      wrap_model);
}

Napi::Value read_tokenizer(const Napi::CallbackInfo& info) {
  return run_reading(
      info,
      [max_bytes = std::size_t(int32_from(info[1], "maxBytes"))](const std::string& path) {
        return runtime::read_tokenizer_file(path, max_bytes);
      },
      [](Napi::Env env, const runtime::TokenizerFile& file, const ThreadPtr&, const TurnPtr&) {
        return to_js(env, file);
      });
}

Napi::Value open_synthetic(const Napi::CallbackInfo& info) {
  const auto thread = EngineThread::start(info.Env());
  return thread->run(
      info.Env(),
      [shape = shape_from(info[0]), options = engine_options_from(info[1])] {
        return std::shared_ptr<runtime::Engine>(
            runtime::Engine::open_synthetic(runtime::synthetic_shape(shape.name, shape.num_layers), options));
      },
      [thread](Napi::Env env, std::shared_ptr<runtime::Engine> engine) {
        return wrap_model(env, std::move(engine), thread, std::make_shared<FileTurn>("made-up weights"));
      });
}

Napi::Value probe(const Napi::CallbackInfo& info) {
  const auto thread = EngineThread::start(info.Env());
  const auto stopped = std::make_shared<std::atomic<bool>>(false);
  thread->on_interrupt([stopped] { return *stopped = true; });
  return thread->run(
      info.Env(),
      [threads = int32_from(info[0], "threads"), isa = string_from(info[1], "isa"), stopped] {
        return runtime::probe_machine(threads, isa, *stopped);
      },
      [thread](Napi::Env env, const cpu::Probe& probe) { return to_js(env, probe); });
}

Napi::Value probe_cuda_device(const Napi::CallbackInfo& info) {
  const auto thread = EngineThread::start(info.Env());
  const auto stopped = std::make_shared<std::atomic<bool>>(false);
  thread->on_interrupt([stopped] { return *stopped = true; });
  return thread->run(
      info.Env(), [stopped] { return runtime::probe_device(*stopped); },
      [thread](Napi::Env env, const cuda::Probe& probe) { return to_js(env, probe); });
}

Napi::Value probe_disk_of(const Napi::CallbackInfo& info) {
  const auto thread = EngineThread::start(info.Env());
  const auto stopped = std::make_shared<std::atomic<bool>>(false);
  thread->on_interrupt([stopped] {
    *stopped = true;
    return false;  // the disk may not respond
  });
  return thread->run(
      info.Env(), [folder = string_from(info[0], "folder"), stopped] { return runtime::probe_disk(folder, *stopped); },
      [thread](Napi::Env env, std::optional<double> rate) -> Napi::Value {
        return rate ? Napi::Value(Napi::Number::New(env, *rate)) : env.Null();
      });
}

Napi::Value inspect_checkpoint(const Napi::CallbackInfo& info) {
  return run_reading(
      info,
      [options = engine_options_from(info[1])](const std::string& path) { return runtime::inspect(path, options); },
      [](Napi::Env env, const runtime::Inspection& inspection, const ThreadPtr&, const TurnPtr&) {
        return to_js(env, inspection);
      });
}

Napi::Value cpu_isa_names(const Napi::CallbackInfo& info) { return to_js(info.Env(), runtime::usable_isas()); }

Napi::Value cpu_threads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), runtime::default_cpu_threads());
}

Napi::Value cuda_unavailable(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), runtime::why_no_cuda());
}

Napi::Value error_codes(const Napi::CallbackInfo& info) {
  std::vector<std::string> names;
  for (int code = 0; code <= int(ErrorCode::internal); ++code) names.push_back(code_name(ErrorCode(code)));
  return to_js(info.Env(), names);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*body)(const Napi::CallbackInfo&)) {
    exports.Set(name, function_of(env, name, body));
  };
  add("open", open);
  add("openSynthetic", open_synthetic);
  add("probe", probe);
  add("probeCuda", probe_cuda_device);
  add("probeDisk", probe_disk_of);
  add("inspect", inspect_checkpoint);
  add("readTokenizer", read_tokenizer);
  add("cpuIsas", cpu_isa_names);
  add("cpuThreads", cpu_threads);
  add("cudaUnavailable", cuda_unavailable);
  add("errorCodes", error_codes);
  return exports;
}

}  // namespace
}  // namespace grok::napi

static Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) {
  try {
    return grok::napi::initialise(env, exports);
  } catch (const std::bad_alloc&) {
    throw Napi::Error(env, grok::napi::to_js_error(env, std::current_exception()));
  }
}
NODE_API_MODULE(grok_run, initialise_addon)
