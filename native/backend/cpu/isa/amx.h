#pragma once

// The tile registers of AMX.
namespace grok::cpu {

// Asks the system for the use of tiles; false where the CPU has none or the system refuses.
bool can_use_amx();

// Tiles 0 to 5 and 7 get num_rows rows of 64 bytes, tile 6 all 16. The configuration stays with the thread.
void configure_tiles(int num_rows);

}  // namespace grok::cpu
