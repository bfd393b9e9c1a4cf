kc_test(err SOURCES ${KC_TEST_DIR}/err.c DEPS base)
kc_test(opt SOURCES ${KC_TEST_DIR}/opt.c DEPS base)
kc_test(proc SOURCES ${KC_TEST_DIR}/proc.c DEPS base)
kc_test(ui SOURCES ${KC_TEST_DIR}/ui.c DEPS base LIBS util)
