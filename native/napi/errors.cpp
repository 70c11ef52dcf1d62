#include "napi/errors.h"

#include <algorithm>
#include <new>
#include <utility>

#include "core/error.h"
#include "runtime/memory_fit.h"
#include "runtime/request.h"

namespace grok::napi {
namespace {

Napi::Object error_object(Napi::Env env, ErrorCode code, const char* message, const char* hint) {
  Napi::Object object = Napi::Error::New(env, message).Value();
  object.Set("code", code_name(code));
  object.Set("hint", hint);
  return object;
}

// Uses the option names of engine_options_from().
Napi::Object to_js(Napi::Env env, const runtime::MemoryFit& fit) {
  Napi::Object object = Napi::Object::New(env);
  if (fit.max_sequences) object.Set("maxSequences", *fit.max_sequences);
  if (fit.prefill_chunk) object.Set("prefillChunk", *fit.prefill_chunk);
  if (fit.kv_cache_type) object.Set("kvCacheType", name_of(*fit.kv_cache_type));
  if (fit.context_length) object.Set("contextSize", *fit.context_length);
  if (fit.num_layers) object.Set("layers", *fit.num_layers);
  if (fit.weights) object.Set("weights", name_of(*fit.weights));
  if (fit.memory_limit) object.Set("memoryLimit", Napi::Number::New(env, double(*fit.memory_limit)));
  return object;
}

}  // namespace

// Allocates no native memory, because the error may be a lack of memory.
Napi::Value to_js_error(Napi::Env env, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const runtime::StepError& failed) {
    Napi::Object object = error_object(env, failed.code, failed.what(), failed.hint.c_str());
    Napi::Float64Array sequences = Napi::Float64Array::New(env, failed.sequences.size());
    std::copy(failed.sequences.begin(), failed.sequences.end(), sequences.Data());
    object.Set("sequences", sequences);
    return object;
  } catch (const runtime::MemoryError& shortage) {
    Napi::Object object = error_object(env, shortage.code, shortage.what(), "");
    Napi::Array fits = Napi::Array::New(env, shortage.fits.size());
    for (std::uint32_t index = 0; index < shortage.fits.size(); ++index)
      fits.Set(index, to_js(env, shortage.fits[index]));
    object.Set("fits", fits);
    object.Set("neededBytes", Napi::Number::New(env, double(shortage.needed_bytes)));
    object.Set("availableBytes", Napi::Number::New(env, double(shortage.available_bytes)));
    object.Set("memory", shortage.memory_name);
    return object;
  } catch (const Error& known) {
    return error_object(env, known.code, known.what(), known.hint.c_str());
  } catch (const std::bad_alloc&) {
    return error_object(env, ErrorCode::out_of_memory, kNoMoreMemory, "");
  } catch (const std::exception& unexpected) {
    return error_object(env, ErrorCode::internal, unexpected.what(), "");
  } catch (...) {
    return error_object(env, ErrorCode::internal, kUnknownException, "");
  }
}

Napi::Function function_of(Napi::Env env, const char* name, FunctionBody body) {
  const auto call = [body = std::move(body)](const Napi::CallbackInfo& info) {
    try {
      return body(info);
    } catch (const Napi::Error&) {
      throw;
    } catch (...) {
      throw Napi::Error(info.Env(), to_js_error(info.Env(), std::current_exception()));
    }
  };
  return Napi::Function::New(env, call, name);
}

}  // namespace grok::napi
