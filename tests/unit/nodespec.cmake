kc_test(nodespec SOURCES ${KC_TEST_DIR}/nodespec.c DEPS bootstrap)
