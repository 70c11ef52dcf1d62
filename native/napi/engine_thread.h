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

// Something to do on an engine's thread and to answer on JavaScript's. Made and destroyed on JavaScript's.
class Job {
 public:
  virtual ~Job() = default;
  virtual void execute() = 0;                     // on the engine's thread; may throw
  virtual Napi::Value answer(Napi::Env env) = 0;  // on JavaScript's, when execute() did not throw

  std::optional<Napi::Promise::Deferred> deferred;  // none: nobody waits
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

// One native thread that does jobs in order. It is not one of libuv's, whose four must stay free for files and DNS. It
// keeps the event loop alive only while somebody waits for a promise. All methods are for the JavaScript thread.
//
// process.exit() on the main thread runs no hook: the system then ends this thread in the middle of its job. That is safe
// as long as the addon has no static objects, whose destructors would run under the job's feet.
class EngineThread {
 public:
  // The thread ends, without being waited for, after the last job once the last handle is gone. If the environment (the
  // process, or a worker) ends first, a running job is interrupted and the thread is joined. A thread that waits for a file
  // for too long is left to itself instead, and what it uses is never freed. Throws out_of_memory where the system refuses
  // a thread.
  static std::shared_ptr<EngineThread> start(Napi::Env env);

  // Called when the environment ends, or abandon() is called, while a job may be running. It must make that job return
  // soon, or return false: the job waits for a file, which may never answer.
  void on_interrupt(std::function<bool()> interrupt) { interrupt_ = std::move(interrupt); }

  // For a caller who stops waiting: interrupts the running job, and lets the process end before the job returns.
  void abandon();

  // Resolves with to_js(env, work()). A handle to this thread must be among what the two hold.
  template <typename Work, typename ToJs>
  Napi::Promise run(Napi::Env env, Work work, ToJs to_js) {
    Jobs job = list_of(std::make_unique<JobOf<Work, ToJs>>(std::move(work), std::move(to_js)));
    const Napi::Promise promise = job.front()->deferred.emplace(env).Promise();
    post(std::move(job));
    return promise;
  }

  // Frees something on this thread, since that takes long. Where memory is short, it is freed at once.
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
  Doorbell doorbell_;  // rung once for each job done, and once more when the thread is about to end
  std::function<bool()> interrupt_;
  int num_waited_for_ = 0;  // promises not settled
  bool is_abandoned_ = false;
  bool has_ended_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  Jobs waiting_;  // under mutex_, like the next four
  Jobs done_;
  bool finishing_ = false;
  bool has_returned_ = false;  // from do_jobs()
  bool is_left_ = false;       // the environment ended without waiting for the thread

  std::thread thread_;  // last: it uses the rest
};

// A function that calls abandon(), for the promise of a caller who may stop waiting. Make it before the promise: if it
// cannot be made, no promise may be left without a handler.
Napi::Function abandon_function(Napi::Env env, const std::shared_ptr<EngineThread>& thread);

}  // namespace grok::napi
