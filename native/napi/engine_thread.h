#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "napi/napi_setup.h"

namespace grok::napi {

// A task that runs on an engine's thread and is answered on JavaScript's thread. Created and destroyed on JavaScript's.
class Job {
 public:
  virtual ~Job() = default;
  virtual void execute() = 0;                     // on the engine's thread; may throw
  virtual Napi::Value answer(Napi::Env env) = 0;  // on JavaScript's thread, if execute() did not throw

  std::optional<Napi::Promise::Deferred> deferred;  // none: nobody waits for it
  std::exception_ptr error;
};

template <typename Work, typename ToJs>
class JobOf final : public Job {
 public:
  JobOf(Work work, ToJs to_js) : work_(std::move(work)), to_js_(std::move(to_js)) {}
  void execute() override { result_.emplace(work_()); }
  Napi::Value answer(Napi::Env env) override { return to_js_(env, std::move(*result_)); }

 private:
  Work work_;
  ToJs to_js_;
  std::optional<std::invoke_result_t<Work&>> result_;
};

// One native thread that runs jobs in order. It is not one of libuv's four threads, which must stay free for files and
// DNS. It keeps the event loop alive only while a promise is pending. All methods are for the JavaScript thread.
//
// process.exit() on the main thread runs no hook: the system then ends this thread in the middle of its job. That is
// safe only while the addon has no static objects, whose destructors would run during the job.
class EngineThread {
 public:
  // The thread ends by itself after its last job, once the last handle is gone. If the environment (the process, or a
  // worker) ends first, a running job is interrupted and the thread is joined. A thread that waits too long for a file
  // is abandoned instead, and its memory is never freed. Throws out_of_memory if the system refuses a thread.
  static std::shared_ptr<EngineThread> start(Napi::Env env);

  // `interrupt` is called if the environment ends, or abandon() is called, while a job may be running. It must make
  // that job return soon, or return false if the job waits for a file that may never respond.
  void on_interrupt(std::function<bool()> interrupt) { interrupt_ = std::move(interrupt); }

  // For a caller that stops waiting: interrupts the running job, and lets the process end before the job returns.
  void abandon();

  // Resolves with to_js(env, work()). One of the two must hold a handle to this thread.
  template <typename Work, typename ToJs>
  Napi::Promise run(Napi::Env env, Work work, ToJs to_js) {
    Jobs job = list_of(std::make_unique<JobOf<Work, ToJs>>(std::move(work), std::move(to_js)));
    const Napi::Promise promise = job.front()->deferred.emplace(env).Promise();
    post(std::move(job));
    return promise;
  }

  // Frees an object on this thread, because that takes long. If memory is short, it is freed at once.
  void discard(std::shared_ptr<void> resource) noexcept;

 private:
  static void answer_one(Napi::Env env, Napi::Function, EngineThread* thread, void*);
  using Doorbell = Napi::TypedThreadSafeFunction<EngineThread, void, answer_one>;

  // Lists, so that a job moves from one to the next without an allocation, which could fail.
  using Jobs = std::list<std::unique_ptr<Job>>;
  static Jobs list_of(std::unique_ptr<Job> job);
  static Jobs take_first(Jobs& jobs);

  explicit EngineThread(Napi::Env env);
  static void on_environment_end(void* thread);
  void post(Jobs job) noexcept;
  void do_jobs();
  void finish();
  void end();
  bool returns_soon();

  const napi_env env_;
  Doorbell doorbell_;  // rung once for each finished job, and once more when the thread is about to end
  std::function<bool()> interrupt_;
  int num_waited_for_ = 0;  // unsettled promises
  bool is_abandoned_ = false;
  bool has_ended_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  Jobs waiting_;  // guarded by mutex_, like the next four
  Jobs done_;
  bool finishing_ = false;
  bool has_returned_ = false;  // from do_jobs()
  bool is_left_ = false;       // the environment ended without waiting for the thread

  std::thread thread_;  // last: it uses the rest
};

// A function that calls abandon(), for the promise of a caller that may stop waiting. Create it before the promise: if
// its creation failed later, the promise would have no handler.
Napi::Function abandon_function(Napi::Env env, const std::shared_ptr<EngineThread>& thread);

}  // namespace grok::napi
