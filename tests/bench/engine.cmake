add_executable(bench-engine ${KC_TEST_DIR}/engine.c)
target_link_libraries(bench-engine PRIVATE kc-plan kc-store kc-codec-json kc-base PkgConfig::JANSSON)
