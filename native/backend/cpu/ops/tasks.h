#pragma once

#include <cstddef>
#include <functional>

#include "threads/thread_pool.h"

namespace grok::cpu {

// Runs body(task) for count tasks of multiply_adds each. A small loop runs on one thread, because dividing it would
// cost more.
void for_each_task(std::size_t count, std::size_t multiply_adds, threads::ThreadPool& pool,
                   const std::function<void(std::size_t)>& body);

}  // namespace grok::cpu
