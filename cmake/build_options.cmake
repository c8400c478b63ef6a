# Warnings as an interface target; every library and program of ours links it.
add_library(countersign_options INTERFACE)
target_include_directories(countersign_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(countersign_options INTERFACE COUNTERSIGN_VERSION="${PROJECT_VERSION}")
target_compile_options(countersign_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  -Wold-style-cast -Wcast-align -Wnull-dereference -Wdouble-promotion -Wimplicit-fallthrough -Wswitch -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(countersign_options INTERFACE -Wduplicated-cond -Wlogical-op
    # GCC 12 reports both inside its own standard library once it inlines at -O2 and above.
    -Wno-error=null-dereference -Wno-null-dereference -Wno-error=stringop-overflow -Wno-error=array-bounds
    -Wno-error=restrict -Wno-error=maybe-uninitialized
    # At -O1 it takes a coroutine frame, made by its promise's operator new, for one of the global one.
    -Wno-mismatched-new-delete)
endif()
target_compile_options(countersign_options INTERFACE -fstack-protector-strong -fno-omit-frame-pointer
  $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
target_link_options(countersign_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)

# A preset names the sanitizers ("address,undefined" or "thread"); nothing else differs between builds but speed.
set(COUNTERSIGN_SANITIZE "" CACHE STRING "sanitizers to build everything with")
if(COUNTERSIGN_SANITIZE)
  add_compile_options(-fsanitize=${COUNTERSIGN_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${COUNTERSIGN_SANITIZE})
endif()

# countersign_library(NAME SOURCES... PUBLIC libs... PRIVATE libs...)
function(countersign_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC countersign_options ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
endfunction()

# For the two programs: two types of one name are seen only by the release's link, and fatal only there. (Not for tests: GCC takes
# the frames of one inline coroutine in two files for two types.)
function(countersign_one_definition program)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_INTERPROCEDURAL_OPTIMIZATION)
    target_link_options(${program} PRIVATE -Werror=odr -Werror=lto-type-mismatch)
  endif()
endfunction()
