kc_test(crash SOURCES ${KC_TEST_DIR}/crash.c ${KC_TEST_DIR}/toy.c DEPS plan store codec-json base)
kc_test(plan SOURCES ${KC_TEST_DIR}/plan.c ${KC_TEST_DIR}/toy.c DEPS plan store codec-json base)
kc_test(plan-scan SOURCES ${KC_TEST_DIR}/plan_scan.c ${KC_TEST_DIR}/toy.c DEPS plan store codec-json base)
kc_test(plan-drift SOURCES ${KC_TEST_DIR}/plan_drift.c ${KC_TEST_DIR}/toy.c
	DEPS plan store codec-json base)
kc_test(resolve SOURCES ${KC_TEST_DIR}/resolve.c DEPS plan codec-json base)
kc_test(limits SOURCES ${KC_TEST_DIR}/limits.c ${KC_TEST_DIR}/toy.c DEPS bootstrap clouds objects plan)
kc_test(plan-parallel SOURCES ${KC_TEST_DIR}/plan_parallel.c DEPS plan store codec-json base)
kc_test(timeline SOURCES ${KC_TEST_DIR}/timeline.c ${KC_TEST_DIR}/toy.c DEPS plan store codec-json base)
kc_test(plan-give-up SOURCES ${KC_TEST_DIR}/plan_give_up.c ${KC_TEST_DIR}/toy.c
	DEPS bootstrap plan store codec-json base)
