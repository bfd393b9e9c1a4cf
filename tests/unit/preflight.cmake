kc_test(preflight SOURCES ${KC_TEST_DIR}/preflight.c DEPS bootstrap)
