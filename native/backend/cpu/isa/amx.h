#pragma once

// The tile registers of AMX.
namespace grok::cpu {

// Requests the use of tiles from the system. Returns false if the CPU has none or the system refuses.
bool can_use_amx();

// Gives tiles 0 to 5 and 7 num_rows rows of 64 bytes, and tile 6 all 16 rows. The configuration belongs to the thread.
void configure_tiles(int num_rows);

}  // namespace grok::cpu
