kc_test(json_each SOURCES ${KC_TEST_DIR}/json_each.c DEPS codec-json base)
kc_test(yaml SOURCES ${KC_TEST_DIR}/yaml.c DEPS codec-yaml codec-json base)
kc_test(spec SOURCES ${KC_TEST_DIR}/spec.c DEPS spec codec-yaml codec-json base)
kc_test(cluster-schema SOURCES ${KC_TEST_DIR}/cluster_schema.c
	DEPS bundle bootstrap-schema clouds spec codec-yaml codec-json base)
kc_test(schema-honours
	SOURCES ${KC_TEST_DIR}/schema_honours.c
		${PROJECT_SOURCE_DIR}/tests/fixtures/cloud-null/cloud_null.c
	DEPS bootstrap-schema clouds spec codec-yaml codec-json base)
