# kc_fuzz(NAME SOURCES harness.c DEPS room…): a harness with LLVMFuzzerTestOneInput(). A replay of
# its corpus (tests/fuzz/corpus/NAME) is always built and run by ctest as fuzz-NAME; with
# KC_FUZZ=ON and clang, fuzz-NAME-run is the libFuzzer program:
#   cmake -B build-fuzz -DCMAKE_C_COMPILER=clang -DKC_FUZZ=ON -DKC_SANITIZE=address,undefined
#   build-fuzz/tests/fuzz-NAME-run -max_total_time=60 tests/fuzz/corpus/NAME
include_guard(GLOBAL)
set(KC_FUZZ_DIR ${CMAKE_CURRENT_LIST_DIR})

function(kc_fuzz name)
	cmake_parse_arguments(F "" "" "SOURCES;DEPS;LIBS" ${ARGN})
	set(programs fuzz-${name})
	add_executable(fuzz-${name} ${F_SOURCES} ${KC_FUZZ_DIR}/replay.c)
	if(KC_FUZZ)
		list(APPEND programs fuzz-${name}-run)
		add_executable(fuzz-${name}-run ${F_SOURCES})
		target_link_options(fuzz-${name}-run PRIVATE -fsanitize=fuzzer)
	endif()
	foreach(program ${programs})
		foreach(dep ${F_DEPS})
			target_link_libraries(${program} PRIVATE kc-${dep})
		endforeach()
		target_link_libraries(${program} PRIVATE ${F_LIBS} PkgConfig::JANSSON)
	endforeach()
	add_test(NAME fuzz-${name} COMMAND fuzz-${name} ${KC_FUZZ_DIR}/corpus/${name})
endfunction()
