kc_test(xml SOURCES ${KC_TEST_DIR}/xml.c DEPS codec-xml)
