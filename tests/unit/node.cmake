kc_test(node_balance SOURCES ${KC_TEST_DIR}/node_balance.c DEPS node-balance base)
kc_test(node_kinds SOURCES ${KC_TEST_DIR}/node_kinds.c DEPS node-kinds crypto codec-zstd base)
kc_test(node_checks SOURCES ${KC_TEST_DIR}/node_checks.c DEPS node-kinds codec-json base)
kc_test(node_dns SOURCES ${KC_TEST_DIR}/node_dns.c DEPS node-kinds crypto base)
