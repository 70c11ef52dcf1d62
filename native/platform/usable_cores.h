#pragma once

namespace grok::platform {

// Cores that this process may use, within its CPU affinity and CPU quota; hyper-threads count once. At least 1.
int usable_cores();

}  // namespace grok::platform
