kc_test(secrets SOURCES ${KC_TEST_DIR}/secrets.c DEPS bootstrap)
kc_test(formats SOURCES ${KC_TEST_DIR}/formats.c DEPS bootstrap)
