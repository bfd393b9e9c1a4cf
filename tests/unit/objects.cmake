# The kinds of lib/objects against a real API server: KC_BUNDLE_BIN names a folder with kube and etcd.
kc_test(objects SOURCES ${KC_TEST_DIR}/objects.c ${KC_TEST_DIR}/kube_lab.c
	DEPS objects plan net-kube crypto codec-json base)
set_tests_properties(objects PROPERTIES SKIP_RETURN_CODE 77)
kc_test(service_ip SOURCES ${KC_TEST_DIR}/service_ip.c ${KC_TEST_DIR}/kube_lab.c
	DEPS objects plan net-kube codec-json base)
set_tests_properties(service_ip PROPERTIES SKIP_RETURN_CODE 77)
kc_test(lease SOURCES ${KC_TEST_DIR}/lease.c ${KC_TEST_DIR}/kube_lab.c
	DEPS objects net-kube crypto codec-json base)
set_tests_properties(lease PROPERTIES SKIP_RETURN_CODE 77)
target_link_options(test-lease PRIVATE -Wl,--wrap=kc_boottime_ms)
