kc_test(crash SOURCES ${KC_TEST_DIR}/crash.c ${KC_TEST_DIR}/toy.c DEPS plan store codec-json base)
kc_test(plan SOURCES ${KC_TEST_DIR}/plan.c ${KC_TEST_DIR}/toy.c DEPS plan store codec-json base)
kc_test(plan-scan SOURCES ${KC_TEST_DIR}/plan_scan.c ${KC_TEST_DIR}/toy.c DEPS plan store codec-json base)
kc_test(resolve SOURCES ${KC_TEST_DIR}/resolve.c DEPS plan codec-json base)
