kc_test(secrets SOURCES ${KC_TEST_DIR}/secrets.c DEPS bootstrap)
kc_test(formats SOURCES ${KC_TEST_DIR}/formats.c DEPS bootstrap)
kc_test(runs SOURCES ${KC_TEST_DIR}/runs.c DEPS bootstrap)
kc_test(seal SOURCES ${KC_TEST_DIR}/seal.c DEPS crypto base)
kc_test(sealed
	SOURCES ${KC_TEST_DIR}/sealed.c ${KC_TEST_DIR}/../conformance/store.c
	DEPS store crypto codec-json base)
