#pragma once

#include <memory>

#include "napi/engine_thread.h"
#include "napi/file_turn.h"
#include "napi/napi_setup.h"
#include "runtime/engine.h"

namespace grok::napi {

// The NativeModel of lib/addon/types.ts. When it and all its methods are garbage, the engine is freed on its own
// thread.
Napi::Object wrap_model(Napi::Env env, std::shared_ptr<runtime::Engine> engine, std::shared_ptr<EngineThread> thread,
                        std::shared_ptr<FileTurn> turn);

}  // namespace grok::napi
