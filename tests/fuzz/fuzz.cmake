# kc_fuzz(NAME SOURCES harness.c DEPS room…): a harness with LLVMFuzzerTestOneInput(). A replay of
# its corpus (tests/fuzz/corpus/NAME) is always built and run by ctest as fuzz-NAME; with
# KC_FUZZ=ON and clang (the preset "fuzz"), fuzz-NAME-run is the libFuzzer program, which
# tools/fuzz.sh runs. The target "fuzzers" is all of those.
include_guard(GLOBAL)
set(KC_FUZZ_DIR ${CMAKE_CURRENT_LIST_DIR})
add_custom_target(fuzzers)

function(kc_fuzz name)
	cmake_parse_arguments(F "" "" "SOURCES;DEPS;LIBS" ${ARGN})
	set(programs fuzz-${name})
	add_executable(fuzz-${name} ${F_SOURCES} ${KC_FUZZ_DIR}/replay.c)
	if(KC_FUZZ)
		list(APPEND programs fuzz-${name}-run)
		add_executable(fuzz-${name}-run ${F_SOURCES})
		target_link_options(fuzz-${name}-run PRIVATE -fsanitize=fuzzer)
		add_dependencies(fuzzers fuzz-${name}-run)
	endif()
	foreach(program ${programs})
		foreach(dep ${F_DEPS})
			target_link_libraries(${program} PRIVATE kc-${dep})
		endforeach()
		target_link_libraries(${program} PRIVATE ${F_LIBS} PkgConfig::JANSSON)
	endforeach()
	add_test(NAME fuzz-${name} COMMAND fuzz-${name} ${KC_FUZZ_DIR}/corpus/${name})
endfunction()
