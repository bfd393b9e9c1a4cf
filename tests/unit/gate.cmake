kc_test(gate SOURCES ${KC_TEST_DIR}/gate.c DEPS bootstrap)
