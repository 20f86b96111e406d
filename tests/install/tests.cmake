# A user's project against the installed package: installed, found, built, run on two ranks.
add_test(NAME install.consumer
  COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${CMAKE_CURRENT_LIST_DIR}/consumer
    -DWORK=${PROJECT_BINARY_DIR}/tests/install -DMPIEXEC=${MPIEXEC_EXECUTABLE} -DGENERATOR=${CMAKE_GENERATOR}
    -DBUILD_TYPE=${CMAKE_BUILD_TYPE} -DSANITIZE=${EQUIPOISE_SANITIZE}
    -P ${CMAKE_CURRENT_LIST_DIR}/run.cmake)
set_tests_properties(install.consumer PROPERTIES TIMEOUT 900 PROCESSORS 2
  ENVIRONMENT "${EQUIPOISE_TEST_ENVIRONMENT}")
