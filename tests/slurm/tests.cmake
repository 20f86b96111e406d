# The batch script through a real Slurm, with both launchers; a time limit; an array.
if(TARGET equipoise_command)
  foreach(job srun.signal mpirun.signal srun.limit mpirun.array)
    string(REPLACE "." ";" words ${job})
    add_test(NAME slurm.${job}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/slurm/run.sh $<TARGET_FILE:equipoise_command> ${PROJECT_SOURCE_DIR}
        ${PROJECT_BINARY_DIR}/tests/slurm-${job} ${words})
    set_tests_properties(slurm.${job} PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77 RESOURCE_LOCK slurm)
  endforeach()
endif()
