kc_test(preflight SOURCES ${KC_TEST_DIR}/preflight.c DEPS bootstrap)
kc_test(validate SOURCES ${KC_TEST_DIR}/validate.c DEPS bootstrap)
kc_test(why SOURCES ${KC_TEST_DIR}/why.c DEPS bootstrap)
