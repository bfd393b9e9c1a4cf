kc_test(clouds
	SOURCES ${KC_TEST_DIR}/clouds.c ${PROJECT_SOURCE_DIR}/tests/fixtures/cloud-null/cloud_null.c
	DEPS clouds codec-json)
