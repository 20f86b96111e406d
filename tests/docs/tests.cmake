# The programs of the guides, and the guides themselves.
file(GLOB guides CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/examples/*.cpp)
foreach(guide IN LISTS guides)
  get_filename_component(name ${guide} NAME_WE)
  add_executable(example_${name} ${guide})
  target_link_libraries(example_${name} PRIVATE equipoise equipoise_flags)
  foreach(ranks 1 3)
    add_test(NAME docs.${name}.np${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none -n ${ranks} $<TARGET_FILE:example_${name}>)
    set_tests_properties(docs.${name}.np${ranks} PROPERTIES TIMEOUT 60 PROCESSORS 2
      ENVIRONMENT "${EQUIPOISE_TEST_ENVIRONMENT}")
  endforeach()
endforeach()
if(TARGET equipoise_command)
  add_test(NAME docs.pages COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_LIST_DIR}/test_docs.py)
  set_tests_properties(docs.pages PROPERTIES TIMEOUT 900 PROCESSORS 2
    ENVIRONMENT "${EQUIPOISE_TEST_ENVIRONMENT};EQUIPOISE_COMMAND=$<TARGET_FILE:equipoise_command>")
  add_test(NAME docs.reference
    COMMAND ${PROJECT_SOURCE_DIR}/cluster/reference.sh --check $<TARGET_FILE:equipoise_command>)
  set_tests_properties(docs.reference PROPERTIES TIMEOUT 60 ENVIRONMENT "${EQUIPOISE_TEST_ENVIRONMENT}")
endif()
