kc_test(net-ssh SOURCES ${KC_TEST_DIR}/net-ssh.c DEPS net-ssh base)
kc_test(net_ssh_forward SOURCES ${KC_TEST_DIR}/net_ssh_forward.c DEPS net-ssh base)
kc_test(net_ssh_openssh SOURCES ${KC_TEST_DIR}/net_ssh_openssh.c DEPS net-ssh base)
