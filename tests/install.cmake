# What docs/library.md says: install, build the example with find_package(hinge), run it, and look at its result with the
# installed program.
set(place ${BUILD}/install-test)
file(REMOVE_RECURSE ${place})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed with ${code}: ${command}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${place}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE}/examples/use-hinge -B ${place}/build -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${place}/prefix -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${place}/build)
run(${place}/build/shrink ${place}/small.safetensors)
run(${place}/prefix/bin/hinge info --weights ${place}/small.safetensors)
foreach(page README.md docs/README.md docs/faq.md)
  if(NOT EXISTS ${place}/prefix/share/doc/hinge/${page})
    message(FATAL_ERROR "the documentation was not installed: ${page} is missing")
  endif()
endforeach()
file(REMOVE_RECURSE ${place})
