#pragma once

namespace grok::platform {

// Whether this CPU has the dot product of arm64, which only the system can tell. False on other CPUs.
bool has_dot_product();

// Asks the system for the use of AMX's tile registers, which the CPU must have; false where it refuses.
bool permit_amx_tiles();

}  // namespace grok::platform
