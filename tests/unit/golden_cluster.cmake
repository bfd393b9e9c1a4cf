kc_test(golden-cluster SOURCES ${KC_TEST_DIR}/golden_cluster.c DEPS bootstrap clouds)
