kc_test(store
	SOURCES ${KC_TEST_DIR}/store.c ${KC_TEST_DIR}/../conformance/store.c
	DEPS store codec-json base)
