# The driver of test_local.py: runs the kinds of clouds/local without the engine. Not a ctest test.
add_executable(local-kinds ${KC_TEST_DIR}/local_kinds.c)
target_link_libraries(local-kinds PRIVATE kc-clouds)
