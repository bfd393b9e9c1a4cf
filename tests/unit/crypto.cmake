kc_test(crypto SOURCES ${KC_TEST_DIR}/crypto.c DEPS crypto codec-json base)
