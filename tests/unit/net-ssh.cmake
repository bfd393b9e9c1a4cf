kc_test(net-ssh SOURCES ${KC_TEST_DIR}/net-ssh.c DEPS net-ssh base)
