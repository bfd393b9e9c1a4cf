kc_test(session SOURCES ${KC_TEST_DIR}/session.c DEPS bootstrap)
