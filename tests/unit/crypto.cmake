kc_test(crypto SOURCES ${KC_TEST_DIR}/crypto.c DEPS crypto codec-json base)
kc_test(jwt SOURCES ${KC_TEST_DIR}/jwt.c DEPS crypto codec-json base)
