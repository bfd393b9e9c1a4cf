# The driver of test_schema.py. Not a ctest test.
add_executable(spec-check ${KC_TEST_DIR}/spec_check.c)
target_link_libraries(spec-check PRIVATE kc-cli)
