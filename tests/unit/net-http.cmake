kc_test(net-http SOURCES ${KC_TEST_DIR}/net-http.c DEPS net-http crypto base)
