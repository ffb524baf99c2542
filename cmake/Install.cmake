# cmake --install: the program, the engine with its headers, and a package for find_package(lowbit).
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/lowbit)
install(TARGETS lowbit_engine EXPORT lowbitTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT engine)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/lowbit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT engine
        FILES_MATCHING PATTERN "*.h" PATTERN "*-inl.h" EXCLUDE)
install(EXPORT lowbitTargets NAMESPACE lowbit:: DESTINATION ${package} COMPONENT engine)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/lowbitConfig.cmake.in ${CMAKE_BINARY_DIR}/lowbitConfig.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/lowbitConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/lowbitConfig.cmake ${CMAKE_BINARY_DIR}/lowbitConfigVersion.cmake
        DESTINATION ${package} COMPONENT engine)
