kc_test(codec-zstd SOURCES ${KC_TEST_DIR}/codec-zstd.c DEPS codec-zstd base)
kc_test(codec-archive SOURCES ${KC_TEST_DIR}/codec-archive.c DEPS codec-archive base)
kc_test(bundle SOURCES ${KC_TEST_DIR}/bundle.c DEPS bundle)
kc_test(bundle-build SOURCES ${KC_TEST_DIR}/bundle-build.c DEPS bundle)
