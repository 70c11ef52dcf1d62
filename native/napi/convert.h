#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "napi/napi_setup.h"
#include "runtime/engine.h"
#include "runtime/inspection.h"
#include "runtime/model_runner.h"
#include "runtime/options.h"
#include "runtime/probe.h"
#include "runtime/request.h"
#include "runtime/tokenizer_file.h"

// Conversion between JavaScript values and plain C++ values. A value of the wrong type throws a TypeError that names
// it.
namespace grok::napi {

std::string string_from(Napi::Value value, const char* name);
std::int32_t int32_from(Napi::Value value, const char* name);
std::vector<std::int32_t> int32s_from(Napi::Value value, const char* name);
runtime::SequenceId sequence_from(Napi::Value value, const char* name);
std::vector<runtime::SequenceId> sequences_from(Napi::Value value, const char* name);

// Arguments of synthetic_shape().
struct ShapeRequest {
  std::string name;
  int num_layers = 0;
};

ShapeRequest shape_from(Napi::Value value);
runtime::EngineOptions engine_options_from(Napi::Value value);
runtime::SequenceRequest request_from(Napi::Value value);

Napi::Object to_js(Napi::Env env, const runtime::Inspection& inspection);
Napi::Object to_js(Napi::Env env, const cpu::Probe& probe);
Napi::Object to_js(Napi::Env env, const cuda::Probe& probe);
Napi::Object to_js(Napi::Env env, const runtime::LoadProgress& progress);
Napi::Object to_js(Napi::Env env, const runtime::TokenizerFile& file);
Napi::Object to_js(Napi::Env env, const runtime::EngineStats& stats);
Napi::Array to_js(Napi::Env env,
                  std::vector<runtime::SequenceOutput>&& outputs);  // moves the logits, keeps the ids
Napi::Array to_js(Napi::Env env, const std::vector<std::string>& strings);

}  // namespace grok::napi
