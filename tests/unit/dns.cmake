kc_test(geo SOURCES ${KC_TEST_DIR}/geo.c DEPS geo)
kc_test(net_dns SOURCES ${KC_TEST_DIR}/net_dns.c DEPS net-dns codec-json base)
kc_test(claims SOURCES ${KC_TEST_DIR}/claims.c DEPS dns crypto codec-json base)
