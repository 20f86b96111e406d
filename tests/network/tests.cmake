# An emulated slow network; skipped (77) where network namespaces are not permitted.
add_test(NAME network.emulator
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/network/emulator.py)
if(TARGET equipoise_command)
  # Counted bytes against the interface counters.
  add_test(NAME network.counters
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/network/counters.py $<TARGET_FILE:equipoise_command>)
  set_tests_properties(network.counters PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 180 RUN_SERIAL TRUE)
endif()
set_tests_properties(network.emulator PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 180 RUN_SERIAL TRUE)
