#pragma once

namespace grok::platform {

// Cores that this process may use: its CPU affinity and CPU quota respected, hyper-threads counted once. At least 1.
int usable_cores();

}  // namespace grok::platform
