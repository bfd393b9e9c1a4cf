kc_test(aws-sign SOURCES ${KC_TEST_DIR}/aws-sign.c DEPS clouds-aws-sign base)
