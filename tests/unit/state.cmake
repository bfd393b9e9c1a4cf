kc_test(secrets SOURCES ${KC_TEST_DIR}/secrets.c DEPS bootstrap)
