kc_fuzz(yaml_spec SOURCES ${KC_TEST_DIR}/yaml_spec.c DEPS bootstrap-schema spec codec-yaml base)
