# Preloaded by tests/e2e/faults: kills the program, or cuts its connections, at a numbered operation.
add_library(inject MODULE ${KC_TEST_DIR}/faults/inject.c)
target_link_libraries(inject PRIVATE ${CMAKE_DL_LIBS})
target_compile_options(inject PRIVATE -fno-sanitize=all)
target_link_options(inject PRIVATE -fno-sanitize=all)
