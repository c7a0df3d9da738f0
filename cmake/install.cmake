# cmake --install: the program, its documentation, and the engine as a library for find_package(hinge).
#
# The library is the same objects as the program's. Whoever links it gets all of them (WHOLE_ARCHIVE): kernels, models
# and regularisers register themselves, and nothing else refers to them.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS hinge RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(NOT HINGE_CUDA)  # nvcc's objects and runtime are not part of the package yet
  set(objects "")
  foreach(room ${HINGE_ROOMS})
    list(APPEND objects $<TARGET_OBJECTS:${room}>)
  endforeach()
  add_library(hinge_objects STATIC ${objects})
  set_target_properties(hinge_objects PROPERTIES LINKER_LANGUAGE CXX EXPORT_NAME objects)
  install(TARGETS hinge_objects EXPORT hinge-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT hinge-targets NAMESPACE hinge:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/hinge)
  foreach(room engine kernels compress models data)
    install(DIRECTORY ${room} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/hinge
            FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh")
  endforeach()
  configure_package_config_file(cmake/hinge-config.cmake.in ${CMAKE_BINARY_DIR}/generated/hinge-config.cmake
                                INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/hinge
                                PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/generated/hinge-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/generated/hinge-config.cmake ${CMAKE_BINARY_DIR}/generated/hinge-config-version.cmake
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/hinge)
endif()
