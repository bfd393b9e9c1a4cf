kc_test(clouds
	SOURCES ${KC_TEST_DIR}/clouds.c ${PROJECT_SOURCE_DIR}/tests/fixtures/cloud-null/cloud_null.c
	DEPS clouds codec-json)
kc_test(cloud-creds SOURCES ${KC_TEST_DIR}/cloud_creds.c DEPS clouds-gcp clouds-azure codec-json base)
