kc_test(geo SOURCES ${KC_TEST_DIR}/geo.c DEPS geo)
kc_test(net_dns SOURCES ${KC_TEST_DIR}/net_dns.c DEPS net-dns codec-json base)
kc_test(claims SOURCES ${KC_TEST_DIR}/claims.c DEPS dns crypto codec-json base)
kc_test(dns_schedules SOURCES ${KC_TEST_DIR}/dns_schedules.c ${KC_TEST_DIR}/toy_zone.c DEPS dns codec-json base)
# Pauses are the order of calls there, and signatures are remembered.
target_link_options(test-dns_schedules PRIVATE -Wl,--wrap=kc_sleep_ms,--wrap=kc_sign,--wrap=kc_sign_public,--wrap=kc_sign_verify)
kc_test(nsset SOURCES ${KC_TEST_DIR}/nsset.c DEPS dns codec-json base)
kc_test(dns_fidelity SOURCES ${KC_TEST_DIR}/dns_fidelity.c DEPS dns codec-json base)
kc_test(shift SOURCES ${KC_TEST_DIR}/shift.c DEPS dns codec-json base)
