# The command line as a user meets it: one Python program for each topic.
if(TARGET equipoise_command)
  foreach(topic bad_input solve resume watch)
    add_test(NAME command.${topic} COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_${topic}.py)
    set_tests_properties(command.${topic} PROPERTIES TIMEOUT 900 PROCESSORS 2
      ENVIRONMENT "${EQUIPOISE_TEST_ENVIRONMENT};EQUIPOISE_COMMAND=$<TARGET_FILE:equipoise_command>")
  endforeach()
  add_test(NAME command.fields COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_fields.py)
  set_tests_properties(command.fields PROPERTIES TIMEOUT 900 PROCESSORS 2
    ENVIRONMENT "${EQUIPOISE_TEST_ENVIRONMENT};EQUIPOISE_COMMAND=$<TARGET_FILE:equipoise_command>")
endif()
