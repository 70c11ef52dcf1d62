#include "napi/engine_thread.h"

#include <chrono>
#include <new>

#include "core/error.h"
#include "napi/errors.h"

namespace grok::napi {

std::shared_ptr<EngineThread> EngineThread::start(Napi::Env env) {
  return {new EngineThread(env), [](EngineThread* thread) { thread->finish(); }};
}

EngineThread::EngineThread(Napi::Env env) : env_(env) {
  doorbell_ = Doorbell::New(env, "grok-run", 0, 1, this);
  doorbell_.Unref(env);
  // Hooks run in reverse order: this one runs before the doorbell's own, so the thread never rings a destroyed
  // doorbell.
  napi_add_env_cleanup_hook(env, on_environment_end, this);
  try {
    thread_ = std::thread([this] { do_jobs(); });
  } catch (const std::exception& refusal) {
    end();
    throw Error(ErrorCode::out_of_memory, concat("the system refused a thread for the engine: ", refusal.what()),
                "Raise the limit on threads (`ulimit -u`, or pids.max of the container), or use fewer `threads`.");
  }
}

EngineThread::Jobs EngineThread::list_of(std::unique_ptr<Job> job) {
  Jobs jobs;
  jobs.push_back(std::move(job));
  return jobs;
}

EngineThread::Jobs EngineThread::take_first(Jobs& jobs) {
  Jobs first;
  if (!jobs.empty()) first.splice(first.begin(), jobs, jobs.begin());
  return first;
}

void EngineThread::post(Jobs job) noexcept {
  if (has_ended_) return;
  if (job.front()->deferred && num_waited_for_++ == 0 && !is_abandoned_) doorbell_.Ref(env_);
  {
    const std::lock_guard lock(mutex_);
    waiting_.splice(waiting_.end(), job);
  }
  changed_.notify_one();
}

void EngineThread::discard(std::shared_ptr<void> resource) noexcept try {
  auto work = [resource = std::move(resource)]() mutable {
    resource.reset();
    return true;
  };
  auto to_js = [](Napi::Env env, bool) { return env.Undefined(); };
  post(list_of(std::make_unique<JobOf<decltype(work), decltype(to_js)>>(std::move(work), std::move(to_js))));
} catch (const std::bad_alloc&) {
}

void EngineThread::do_jobs() {
  for (;;) {
    Jobs job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return finishing_ || !waiting_.empty(); });
      job = take_first(waiting_);
    }
    if (job.empty()) break;
    try {
      job.front()->execute();
    } catch (...) {
      job.front()->error = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    if (is_left_) {
      job.front().release();  // it belongs to the environment, which has ended
      return;
    }
    done_.splice(done_.end(), job);
    doorbell_.NonBlockingCall();
  }
  const std::lock_guard lock(mutex_);
  if (is_left_) return;
  doorbell_.NonBlockingCall();
  has_returned_ = true;
  changed_.notify_all();
}

void EngineThread::answer_one(Napi::Env env, Napi::Function, EngineThread* thread, void*) {
  if (env == nullptr) return;      // the environment has ended, and `thread` is freed
  if (thread->has_ended_) return;  // Bun calls once more after the environment has ended
  Jobs answered;
  {
    const std::lock_guard lock(thread->mutex_);
    answered = take_first(thread->done_);
  }
  if (answered.empty()) {
    thread->end();
    delete thread;
    return;
  }
  Job& job = *answered.front();
  if (!job.deferred) return;
  if (--thread->num_waited_for_ == 0) thread->doorbell_.Unref(env);
  try {
    if (job.error) std::rethrow_exception(job.error);
    job.deferred->Resolve(job.answer(env));
  } catch (const Napi::Error& error) {
    job.deferred->Reject(error.Value());
  } catch (...) {
    job.deferred->Reject(to_js_error(env, std::current_exception()));
  }
}

void EngineThread::abandon() {
  if (has_ended_ || is_abandoned_) return;
  is_abandoned_ = true;
  if (num_waited_for_ > 0) doorbell_.Unref(env_);
  if (interrupt_) interrupt_();
}

void EngineThread::finish() {
  if (is_left_) return;
  if (has_ended_) {
    delete this;
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  changed_.notify_one();
}

void EngineThread::on_environment_end(void* data) {
  auto* thread = static_cast<EngineThread*>(data);
  const bool must_return = !thread->interrupt_ || thread->interrupt_();
  Jobs unanswered, undone;
  bool has_handles;
  {
    const std::lock_guard lock(thread->mutex_);
    undone.swap(thread->waiting_);
    has_handles = !thread->finishing_;
    thread->finishing_ = true;
  }
  thread->changed_.notify_one();
  if (!must_return && !thread->returns_soon()) {
    thread->thread_.detach();
    thread->has_ended_ = true;
    return;
  }
  thread->end();
  unanswered.swap(thread->done_);
  if (!has_handles) delete thread;  // otherwise the last handle deletes it; one of these jobs may hold that handle
}

// Waits up to a second for the thread to return. Otherwise the thread is abandoned.
bool EngineThread::returns_soon() {
  const auto patience = std::chrono::milliseconds(is_abandoned_ ? 100 : 1000);
  std::unique_lock lock(mutex_);
  is_left_ = !changed_.wait_for(lock, patience, [this] { return has_returned_; });
  return !is_left_;
}

void EngineThread::end() {
  if (thread_.joinable()) thread_.join();
  has_ended_ = true;
  napi_remove_env_cleanup_hook(env_, on_environment_end, this);
  doorbell_.Release();
}

Napi::Function abandon_function(Napi::Env env, const std::shared_ptr<EngineThread>& thread) {
  return function_of(env, "abandon", [weak = std::weak_ptr(thread)](const Napi::CallbackInfo& info) {
    if (const auto running = weak.lock()) running->abandon();
    return info.Env().Undefined();
  });
}

}  // namespace grok::napi
