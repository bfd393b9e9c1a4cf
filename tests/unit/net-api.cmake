kc_test(net-api SOURCES ${KC_TEST_DIR}/net-api.c DEPS net-api codec-json base)
