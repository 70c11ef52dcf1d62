#pragma once

namespace grok::platform {

// Whether this CPU has arm64's dot product, which only the system can tell. False on other CPUs.
bool has_dot_product();

// Requests the use of AMX's tile registers, which the CPU must have. Returns false if the system refuses.
bool permit_amx_tiles();

}  // namespace grok::platform
