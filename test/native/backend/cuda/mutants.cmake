# Planted bugs: the backend's tests run on kernels with one line changed, and must fail.

# `from` is text of native/backend/cuda/SOURCE, and `to` replaces it. TEST.test.cpp is the test that must fail. For a header,
# the last argument is a source that includes it.
function(grok_mutant name source from to test)
  set(path ${PROJECT_SOURCE_DIR}/native/backend/cuda/${source})
  file(READ ${path} original)
  string(REPLACE "${from}" "${to}" mutated "${original}")
  if(mutated STREQUAL original)
    message(FATAL_ERROR "mutant ${name}: ${source} has no \"${from}\" any more")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  if(source MATCHES "\\.h$")
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/mutants/${name}/backend/cuda/${source} CONTENT "@mutated@" @ONLY)
    set(source ${ARGV5})
    set(path ${PROJECT_SOURCE_DIR}/native/backend/cuda/${source})
    file(READ ${path} mutated)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  endif()
  if(source MATCHES "\\.cu$")
    string(PREPEND mutated "#define EMULATED_NVCC\n")
  endif()
  set(written ${PROJECT_BINARY_DIR}/mutants/${name}.cpp)
  file(CONFIGURE OUTPUT ${written} CONTENT "@mutated@" @ONLY)

  if(NOT TARGET mutant_${test})
    set(tests ${PROJECT_SOURCE_DIR}/test/native/backend)
    if(NOT EXISTS ${tests}/${test}.test.cpp)  # not a test of the contract
      set(tests ${tests}/cuda)
    endif()
    add_library(mutant_${test} OBJECT ${tests}/${test}.test.cpp)
    target_include_directories(mutant_${test} PRIVATE test/native)
    target_compile_definitions(mutant_${test} PRIVATE
      GROK_TEST_CUDA GROK_PROJECT_DIR="${PROJECT_SOURCE_DIR}" GROK_ONE_FAILURE_IS_ENOUGH)
    target_link_libraries(mutant_${test} PRIVATE grok_cuda_emulated grok_runtime)
  endif()
  # The mutated file comes before the library, so the linker does not use the copy in the library.
  add_executable(mutant_${name} ${written} $<TARGET_OBJECTS:mutant_${test}>)
  target_include_directories(mutant_${name} BEFORE PRIVATE ${PROJECT_BINARY_DIR}/mutants/${name})
  target_link_libraries(mutant_${name} PRIVATE grok_cuda_emulated grok_runtime)
  add_dependencies(native_tests mutant_${name})
  # Run by another command, because ctest does not count a crash as the expected failure.
  add_test(NAME mutant_${name} COMMAND ${CMAKE_COMMAND} -E env $<TARGET_FILE:mutant_${name}>
           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(mutant_${name} PROPERTIES WILL_FAIL TRUE TIMEOUT 900)
endfunction()

# Only AddressSanitizer sees a read outside an array. The other mutants are found without it, in a tenth of the time.
if(GROK_SANITIZE)
  if(GROK_SANITIZE MATCHES "address")
    grok_mutant(read_past_the_table packed_table.cu
      "input < d_model ?"
      "true ?" packed_table)
  endif()
  return()
endif()

grok_mutant(no_barrier_after_staging product.cu
  "stage(shared, op, job, slice);\n    __syncthreads();"
  "stage(shared, op, job, slice);" product)
grok_mutant(no_barrier_before_staging product.cu
  "__syncthreads();  // all warps have used the last activations"
  "" product)
grok_mutant(wrong_lane_of_activations product.cu
  "column * 4 + 2 * half"
  "column * 2 + 16 * half" product)
grok_mutant(wrong_lane_of_sums product.cu
  "2 * (lane % 4) + r % 2"
  "lane % 4 + 4 * (r % 2)" product)
grok_mutant(one_chunk_too_few_waited_for product.cu
  "copy_async_wait<kChunksAhead - 1>()"
  "copy_async_wait<kChunksAhead>()" product)
grok_mutant(ring_overrun product.cu
  "loaded = (loaded + 1) % kChunksAhead;"
  "loaded = 0;" product)
grok_mutant(scale_of_the_wrong_group product.cu
  "op.layout.group_of(slice);"
  "0;" product)
grok_mutant(activations_before_they_are_there product.cu
  "pdl_wait();\n    __syncthreads();"
  "__syncthreads();" product)
grok_mutant(experts_before_they_are_known product.cu
  "if (has_experts) pdl_wait();"
  "(void)has_experts;" experts)
grok_mutant(no_wait_for_the_launch_before norm.cu
  "pdl_wait();"
  "" norm)
grok_mutant(no_barrier_before_adding attention.cu
  "__syncthreads();  // the sums of all warps are written"
  "" attention)
grok_mutant(values_past_the_end attention.cu
  "if (start + i < num_keys) {"
  "{" attention)
grok_mutant(weight_of_another_head attention.cu
  "weight, i * kHeads + head)"
  "weight, i * kHeads + (head + 1) % kHeads)" attention)
grok_mutant(split_starts_too_late attention.cu
  "index * kSplitPositions,"
  "index * (kSplitPositions + 1)," attention)
grok_mutant(no_barrier_before_summing reduce.h
  "__syncthreads();\n  value = of_warp"
  "value = of_warp" norm norm.cu)
grok_mutant(no_barrier_before_scaling norm.h
  "__syncthreads();  // the largest values of all warps are written"
  "" step_graphs norm.cu)
grok_mutant(no_barrier_before_routing route.cu
  "__syncthreads();  // the sums of all warps are written"
  "" route)
grok_mutant(what_sums_leave_out_is_lost route.cu
  "left_out += fmaf(x[i], weight, sum - next);"
  "" route)
grok_mutant(gates_twice_as_large route.cu
  "const double share = 1.0 / total;"
  "const double share = 2.0 / total;" route)
grok_mutant(ties_fall_out draw.cu
  "(best - distance) << unsorted_bits;"
  "(best - distance + 1) << unsorted_bits;" sample)
grok_mutant(candidates_counted_twice draw.cu
  "if (bin < boundary)"
  "if (bin <= boundary)" sample)
grok_mutant(adjusts_what_another_block_writes sample.cu
  "parameters.num_adjustments, span_first)"
  "parameters.num_adjustments, 0)" sample)
grok_mutant(experts_need_less experts.cu
  "count_product(down, num_slots, num_slots, num_limbs, scratch);"
  "" footprint)
grok_mutant(attention_needs_less attention.cu
  "splits_of(largest.num_positions)"
  "splits_of(largest.num_positions - kSplitPositions)" footprint)
grok_mutant(products_need_less product.cu
  "limb_rows(num_rows, num_limbs, matrices[first]->layout, scratch);"
  "limb_rows(num_rows / 2, num_limbs, matrices[first]->layout, scratch);" footprint)
grok_mutant(sampling_needs_less sample.cu
  "num_rows * (1 + std::size_t(largest.vocab_size))"
  "num_rows" footprint)
grok_mutant(uploads_need_less packed_matrix.cu
  "scratch.of<std::byte>(chunk_bytes(shape));"
  "scratch.of<std::byte>(shape.d_out);" footprint)
grok_mutant(tables_need_less packed_table.cu
  "rows_at_once(vocab_size, d_model)) * d_model"
  "rows_at_once(vocab_size, d_model))" footprint)
grok_mutant(every_part_is_the_first packed_table.cu
  "limb_column<kLimbs>(op.first_row + first_row, limb) / kTileColumns"
  "limb_column<kLimbs>(first_row, limb) / kTileColumns" packed_table)
grok_mutant(word_of_another_row embed.cu
  "column / 8 + first"
  "column / 9 + first" packed_table)
grok_mutant(outputs_in_order logits.cu
  "outputs.row_of_position = output_rows;"
  "" step_graphs)
grok_mutant(part_written_too_early upload.cpp
  "stream_.wait_for(part.copied);\n  part.bytes"
  "part.bytes" upload)
grok_mutant(part_freed_too_early upload.cpp
  "for (const Part& part : parts_) stream_.wait_for(part.copied);"
  "" upload)
grok_mutant(limbs_in_other_groups product.cu
  "x.limbs.num_rows > 0 && x.layout == layout"
  "x.limbs.num_rows > 0" step_graphs)
grok_mutant(limbs_of_too_many_rows quantize.cu
  "if (num_rows > most_.num_rows) return {};"
  "" step_graphs)
grok_mutant(row_split_in_one_group norm.h
  "&& layout.num_groups <= 1"
  "" step_graphs norm.cu)
grok_mutant(graph_of_another_length step_graphs.cpp
  "steps_.find(key)"
  "std::find_if(steps_.begin(), steps_.end(), [&](const auto& step) { return step.first.second == memory && step.first.first.num_tokens == shape.num_tokens; })"
  step_graphs)
grok_mutant(graph_of_a_narrower_page_table cuda_backend.cpp
  ".max_pages = max_pages,"
  ".max_pages = 0," step_graphs)
grok_mutant(graph_of_memory_given_back step_graphs.cpp
  "key(shape, memory)"
  "key(shape, StepMemory{})" step_graphs)
grok_mutant(a_word_of_four_unread probe.cu
  "all.w ^= loaded[i].w;"
  "" probe)
grok_mutant(half_of_a_half_copied probe.cu
  "half_bytes / kProbeStep);"
  "half_bytes / kProbeStep / 2);" probe)
