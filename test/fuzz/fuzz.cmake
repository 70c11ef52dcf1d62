# Fuzz targets: fuzz_NAME for each NAME.cpp of this folder. With GROK_FUZZ, libFuzzer's main drives them; without, replay.cpp
# runs their corpus and some mutations as a test.

function(grok_fuzz_target name room num_mutations)
  add_executable(fuzz_${name} test/fuzz/${name}.cpp)
  target_include_directories(fuzz_${name} PRIVATE test/fuzz test/native)
  target_link_libraries(fuzz_${name} PRIVATE ${room})
  if(GROK_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE test/fuzz/replay.cpp)
    add_dependencies(native_tests fuzz_${name})
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${num_mutations} test/fuzz/corpus/${name}
             WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(fuzz_${name} PROPERTIES TIMEOUT 600)
  endif()
endfunction()

grok_fuzz_target(json grok_core 20000)
grok_fuzz_target(pickle grok_format 20000)
grok_fuzz_target(safetensors grok_format 20000)
grok_fuzz_target(safetensors_index grok_format 10000)
grok_fuzz_target(generation_config grok_model 20000)
grok_fuzz_target(config grok_runtime 500)
grok_fuzz_target(checkpoint grok_runtime 200)
