add_executable(bench-engine ${KC_TEST_DIR}/engine.c)
target_link_libraries(bench-engine PRIVATE kc-plan kc-store kc-codec-json kc-base PkgConfig::JANSSON)
add_executable(bench-regions ${KC_TEST_DIR}/regions.c)
target_link_libraries(bench-regions PRIVATE kc-plan kc-store kc-codec-json kc-base PkgConfig::JANSSON)
