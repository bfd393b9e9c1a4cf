kc_test(geo SOURCES ${KC_TEST_DIR}/geo.c DEPS geo)
