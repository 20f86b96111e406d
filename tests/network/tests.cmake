# Counted bytes against the interface counters of an emulated network; skipped (77) without root or the emulator.
if(TARGET equipoise_command)
  add_test(NAME network.counters
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/network/counters.py $<TARGET_FILE:equipoise_command>)
  set_tests_properties(network.counters PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 180 RUN_SERIAL TRUE)
endif()
