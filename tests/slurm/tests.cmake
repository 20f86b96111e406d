# The batch script through a real Slurm, with both launchers.
if(TARGET equipoise_command)
  foreach(launcher srun mpirun)
    add_test(NAME slurm.${launcher}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/slurm/run.sh $<TARGET_FILE:equipoise_command> ${PROJECT_SOURCE_DIR}
        ${PROJECT_BINARY_DIR}/tests/slurm-${launcher} ${launcher})
    set_tests_properties(slurm.${launcher} PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77 RESOURCE_LOCK slurm)
  endforeach()
endif()
