#include "napi/engine_thread.h"

#include "napi/convert.h"

namespace grok {

std::shared_ptr<EngineThread> EngineThread::start(Napi::Env env) {
  return {new EngineThread(env), [](EngineThread* thread) { thread->finish(); }};
}

EngineThread::EngineThread(Napi::Env env) : env_(env) {
  doorbell_ = Doorbell::New(env, "grok-run", 0, 1, this);
  doorbell_.Unref(env);
  // Hooks run in reverse order: ours comes before the doorbell's own, so the thread never rings a doorbell that is gone.
  napi_add_env_cleanup_hook(env, on_environment_end, this);
  thread_ = std::thread([this] { do_jobs(); });
}

void EngineThread::post(std::unique_ptr<Job> job) {
  if (has_ended_) return;
  if (job->deferred && num_waited_for_++ == 0) doorbell_.Ref(env_);
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(job));
  }
  changed_.notify_one();
}

void EngineThread::discard(std::shared_ptr<void> resource) {
  auto work = [resource = std::move(resource)]() mutable {
    resource.reset();
    return true;
  };
  auto to_js = [](Napi::Env env, bool) { return env.Undefined(); };
  post(std::make_unique<JobOf<decltype(work), decltype(to_js)>>(std::move(work), std::move(to_js)));
}

void EngineThread::do_jobs() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return finishing_ || !waiting_.empty(); });
      if (!waiting_.empty()) {
        job = std::move(waiting_.front());
        waiting_.pop_front();
      }
    }
    if (!job) break;
    try {
      job->execute();
    } catch (...) {
      job->error = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      done_.push_back(std::move(job));
    }
    doorbell_.NonBlockingCall();
  }
  doorbell_.NonBlockingCall();
}

void EngineThread::answer_one(Napi::Env env, Napi::Function, EngineThread* thread, void*) {
  if (env == nullptr) return;  // the environment has ended, and with it `thread`
  std::unique_ptr<Job> job;
  {
    const std::lock_guard lock(thread->mutex_);
    if (!thread->done_.empty()) {
      job = std::move(thread->done_.front());
      thread->done_.pop_front();
    }
  }
  if (!job) {
    thread->end();
    delete thread;
    return;
  }
  if (!job->deferred) return;
  if (--thread->num_waited_for_ == 0) thread->doorbell_.Unref(env);
  if (job->error) {
    job->deferred->Reject(to_js_error(env, job->error));
    return;
  }
  try {
    job->deferred->Resolve(job->answer(env));
  } catch (const Napi::Error& error) {
    job->deferred->Reject(error.Value());
  }
}

void EngineThread::finish() {
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
  if (thread->interrupt_) thread->interrupt_();
  std::deque<std::unique_ptr<Job>> unanswered, undone;
  bool has_handles;
  {
    const std::lock_guard lock(thread->mutex_);
    undone.swap(thread->waiting_);
    has_handles = !thread->finishing_;
    thread->finishing_ = true;
  }
  thread->changed_.notify_one();
  thread->end();
  unanswered.swap(thread->done_);
  if (!has_handles) delete thread;  // else the last handle does it, which one of these jobs may hold
}

void EngineThread::end() {
  thread_.join();
  has_ended_ = true;
  napi_remove_env_cleanup_hook(env_, on_environment_end, this);
  doorbell_.Release();
}

}  // namespace grok
