kc_test(aws-sign SOURCES ${KC_TEST_DIR}/aws-sign.c DEPS clouds-aws-sign base)
kc_test(aws SOURCES ${KC_TEST_DIR}/aws.c DEPS clouds-aws)
