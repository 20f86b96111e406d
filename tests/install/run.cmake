# Installs the build into an empty folder, builds the consumer against nothing but that, and runs it.
function(step)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGV " " line)
    message(FATAL_ERROR "status ${status} of: ${line}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# A sanitized library needs a sanitized program. Leaks are left to the other tests, which keep Open MPI's components
# loaded to tell theirs from ours.
if(SANITIZE)
  set(sanitize "-DCMAKE_CXX_FLAGS=-fsanitize=${SANITIZE}")
  set(ENV{ASAN_OPTIONS} "$ENV{ASAN_OPTIONS}:detect_leaks=0")
endif()

file(REMOVE_RECURSE ${WORK})
step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
step(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR} -DCMAKE_BUILD_TYPE=${BUILD_TYPE}
  -DCMAKE_PREFIX_PATH=${WORK}/prefix ${sanitize})
step(${CMAKE_COMMAND} --build ${WORK}/build)
step(${MPIEXEC} --oversubscribe --bind-to none -n 2 ${WORK}/build/consumer)
message(STATUS "${output}")
