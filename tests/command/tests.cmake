# The command line as a user meets it: one Python program for each topic.
if(TARGET equipoise_command)
  file(GLOB topics CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.py)
  foreach(topic_file IN LISTS topics)
    string(REGEX REPLACE ".*/test_(.*)\\.py" "\\1" topic ${topic_file})
    add_test(NAME command.${topic} COMMAND /usr/bin/python3 -B ${topic_file})
    set_tests_properties(command.${topic} PROPERTIES TIMEOUT 900 PROCESSORS 2
      ENVIRONMENT "${EQUIPOISE_TEST_ENVIRONMENT};EQUIPOISE_COMMAND=$<TARGET_FILE:equipoise_command>")
  endforeach()
endif()
