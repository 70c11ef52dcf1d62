#include "napi/model_wrap.h"

#include <exception>
#include <new>
#include <utility>
#include <vector>

#include "core/error.h"
#include "napi/convert.h"
#include "napi/errors.h"

namespace grok::napi {
namespace {

// State shared by the methods of one object. Its fields belong to the JavaScript thread, but jobs may use the engine.
struct Model {
  std::shared_ptr<runtime::Engine> engine;
  std::shared_ptr<EngineThread> thread;
  std::shared_ptr<FileTurn> turn;
  Napi::Reference<Napi::Promise> closing;  // empty until close()

  ~Model() {
    if (!engine) return;
    engine->stop();
    if (thread) thread->discard(std::move(engine));
  }
};
using ModelPtr = std::shared_ptr<Model>;

Error closed_error() { return {ErrorCode::closed, "the model was closed"}; }

Napi::Promise rejected(Napi::Env env, const std::exception_ptr& error) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(to_js_error(env, error));
  return deferred.Promise();
}

// Resolves with to_js(env, work(engine)). The job holds the model, so that it is not collected before the answer.
template <typename Work, typename ToJs>
Napi::Promise run(const ModelPtr& model, Napi::Env env, Work work, ToJs to_js) {
  if (!model->closing.IsEmpty()) return rejected(env, std::make_exception_ptr(closed_error()));
  const auto job = [model, work = std::move(work)] {
    try {
      return work(*model->engine);
    } catch (const Error& error) {
      if (error.code == ErrorCode::cancelled) throw closed_error();  // only close() stops an engine
      throw;
    }
  };
  return model->thread->run(env, job, std::move(to_js));
}

// Runs work that never waits immediately.
template <typename Work>
Napi::Promise answer(const ModelPtr& model, Napi::Env env, Work work) {
  try {
    if (!model->closing.IsEmpty()) throw closed_error();
    const Napi::Value value = work(*model->engine);  // may throw: before the promise, which must be settled to be freed
    const auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Resolve(value);
    return deferred.Promise();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    return rejected(env, std::current_exception());
  }
}

Napi::Value load_next(const ModelPtr& model, const Napi::CallbackInfo& info) {
  const Napi::Function abandon = abandon_function(info.Env(), model->thread);
  const Napi::Promise loaded = run(
      model, info.Env(),
      [turn = model->turn](runtime::Engine& engine) { return turn->take([&] { return engine.load_next(); }); },
      [](Napi::Env env, const runtime::LoadProgress& progress) { return to_js(env, progress); });
  loaded.Set("abandon", abandon);
  return loaded;
}

Napi::Value submit(const ModelPtr& model, const Napi::CallbackInfo& info) {
  runtime::SequenceRequest request = request_from(info[0]);
  return answer(model, info.Env(), [&](runtime::Engine& engine) {
    return Napi::Number::New(info.Env(), double(engine.submit(std::move(request))));
  });
}

// The error of a step that could not begin. It contains no sequence.
runtime::StepError not_begun() { return {current_error(), {}}; }

Napi::Value set_runnable(const ModelPtr& model, const Napi::CallbackInfo& info) try {
  std::vector<runtime::SequenceId> sequences = sequences_from(info[0], "sequences");
  if (model->closing.IsEmpty()) model->engine->set_runnable(std::move(sequences));
  return info.Env().Undefined();
} catch (const std::bad_alloc&) {
  throw not_begun();
}

Napi::Value outputs_to_js(Napi::Env env, std::vector<runtime::SequenceOutput> outputs) {
  try {
    return to_js(env, std::move(outputs));
  } catch (const std::bad_alloc&) {
    std::vector<runtime::SequenceId> sequences;  // their outputs are lost
    for (const runtime::SequenceOutput& output : outputs) sequences.push_back(output.sequence);
    throw runtime::StepError(current_error(), std::move(sequences));
  }
}

Napi::Value step(const ModelPtr& model, const Napi::CallbackInfo& info) try {
  return run(
      model, info.Env(), [](runtime::Engine& engine) { return engine.step(); }, outputs_to_js);
} catch (const std::bad_alloc&) {
  throw not_begun();
}

Napi::Value release(const ModelPtr& model, const Napi::CallbackInfo& info) {
  const runtime::SequenceId sequence = sequence_from(info[0], "sequence");
  return answer(model, info.Env(), [&](runtime::Engine& engine) {
    engine.release(sequence);
    return info.Env().Undefined();
  });
}

Napi::Value suspend(const ModelPtr& model, const Napi::CallbackInfo& info) {
  const runtime::SequenceId sequence = sequence_from(info[0], "sequence");
  if (model->closing.IsEmpty()) model->engine->suspend(sequence);
  return info.Env().Undefined();
}

Napi::Value stats(const ModelPtr& model, const Napi::CallbackInfo& info) {
  if (!model->closing.IsEmpty()) throw closed_error();
  return to_js(info.Env(), model->engine->stats());
}

Napi::Value close(const ModelPtr& model, const Napi::CallbackInfo& info) {
  if (model->closing.IsEmpty()) {
    model->engine->stop();
    const auto free_engine = [model] {
      model->engine.reset();
      return true;
    };
    // The last handle is destroyed with the job, and the thread with it, even if JavaScript keeps the closed model.
    const auto to_js = [last_handle = model->thread](Napi::Env env, bool) { return env.Undefined(); };
    model->closing = Napi::Reference<Napi::Promise>::New(model->thread->run(info.Env(), free_engine, to_js), 1);
    model->thread.reset();
  }
  return model->closing.Value();
}

}  // namespace

Napi::Object wrap_model(Napi::Env env, std::shared_ptr<runtime::Engine> engine, std::shared_ptr<EngineThread> thread,
                        std::shared_ptr<FileTurn> turn) {
  thread->on_interrupt([weak = std::weak_ptr(engine), turn] {
    if (const auto running = weak.lock()) running->stop();
    return !turn->give_up();
  });

  Napi::Object object = Napi::Object::New(env);
  object.Set("inspection", to_js(env, engine->inspection()));
  object.Set("device", engine->device());
  object.Set("contextSize", engine->context_length());
  object.Set("maxSequences", engine->max_sequences());

  const auto model = std::make_shared<Model>();
  model->engine = std::move(engine);
  model->thread = std::move(thread);
  model->turn = std::move(turn);
  // Closures instead of a class: a method called on a foreign `this` still works, and JavaScript has no constructor to
  // call.
  const auto method = [&](const char* name, Napi::Value (*body)(const ModelPtr&, const Napi::CallbackInfo&)) {
    object.Set(name, function_of(env, name, [model, body](const auto& info) { return body(model, info); }));
  };
  method("loadNext", load_next);
  method("submit", submit);
  method("setRunnable", set_runnable);
  method("step", step);
  method("release", release);
  method("suspend", suspend);
  method("stats", stats);
  method("close", close);
  return object;
}

}  // namespace grok::napi
