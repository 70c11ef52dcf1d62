#pragma once

#include <exception>
#include <functional>

#include "napi/napi_setup.h"

// Conversion of exceptions to JavaScript errors.
namespace grok::napi {

// An Error with `code` and `hint`. A StepError has `sequences`; a MemoryError has `fits`, `neededBytes`, `availableBytes` and
// `memory`.
Napi::Value to_js_error(Napi::Env env, const std::exception_ptr& error);

// A function for JavaScript to call. An exception of `body` reaches the caller as a JavaScript error.
using FunctionBody = std::function<Napi::Value(const Napi::CallbackInfo&)>;
Napi::Function function_of(Napi::Env env, const char* name, FunctionBody body);

}  // namespace grok::napi
