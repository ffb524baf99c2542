# lowbit_room_sources(OUT room...): every .cc of the named folders, re-globbed when a file comes or goes.
function(lowbit_room_sources out)
  set(all)
  foreach(room ${ARGN})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${room}/*.cc)
    list(APPEND all ${found})
  endforeach()
  set(${out} ${all} PARENT_SCOPE)
endfunction()
