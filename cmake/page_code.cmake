# The code on documentation pages is compiled and tested as it stands there: a fenced block behind
#
#   <!-- file: kernels/cpu/hard_swish.cpp -->
#
# is the file of that name, written to PAGE_CODE (an include folder). Who follows a page has the file in the tree already;
# the page's is then left out.
set(PAGE_CODE ${CMAKE_BINARY_DIR}/generated/pages)

# Sets `result` to the names of the files of `page`.
function(hinge_page_files result page)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
  file(READ ${page} rest)
  set(marker "<!-- file: ")
  string(LENGTH "${marker}" marker_length)
  set(files "")
  while(TRUE)
    string(FIND "${rest}" "${marker}" at)
    if(at LESS 0)
      break()
    endif()
    math(EXPR at "${at} + ${marker_length}")
    string(SUBSTRING "${rest}" ${at} -1 rest)
    string(FIND "${rest}" " -->\n```cpp\n" name_end)
    string(FIND "${rest}" "\n" line_end)
    math(EXPR line_end "${line_end} - 4")
    if(NOT name_end EQUAL line_end)
      message(FATAL_ERROR "${page}: '<!-- file: NAME -->' must stand right above a block of cpp")
    endif()
    string(SUBSTRING "${rest}" 0 ${name_end} name)
    math(EXPR at "${name_end} + 12")  # " -->\n```cpp\n"
    string(SUBSTRING "${rest}" ${at} -1 rest)
    string(FIND "${rest}" "\n```\n" end)
    math(EXPR end "${end} + 1")
    string(SUBSTRING "${rest}" 0 ${end} code)
    string(SUBSTRING "${rest}" ${end} -1 rest)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${name})
      continue()
    endif()
    file(WRITE ${PAGE_CODE}/${name}.tmp "${code}")
    configure_file(${PAGE_CODE}/${name}.tmp ${PAGE_CODE}/${name} COPYONLY)  # unchanged code keeps its time
    list(APPEND files ${name})
  endwhile()
  set(${result} ${files} PARENT_SCOPE)
endfunction()
