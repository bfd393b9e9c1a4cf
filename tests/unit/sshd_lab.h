/* Part of net-ssh.c and net_ssh_forward.c: two sshds on loopback, with keys of their own in a
 * temporary directory. */
#ifndef KC_TEST_SSHD_LAB_H
#define KC_TEST_SSHD_LAB_H

static char dir[] = "/tmp/kc-ssh-XXXXXX";
static int port, odd_port;
static pid_t sshd, odd_sshd;

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void keygen(const char *type, const char *name, const char *phrase)
{
	_cleanup_free_ char *path = in_dir(name);
	struct kc_err err = { 0 };

	if (kc_runl(NULL, &err, "ssh-keygen", "-q", "-t", type, "-N", phrase, "-C", name, "-f",
		    path, NULL) < 0)
		fail_msg("%s", err.msg);
}

static int listener(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static bool answers(int p)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)p),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static pid_t start_sshd(const char *name, int *ret_port, const char *more)
{
	_cleanup_free_ char *conf = in_dir(name), *text = NULL, *log = NULL;
	int64_t deadline = kc_now_ms() + 10000;
	pid_t pid;

	close(listener(ret_port));
	log = xasprintf("%s.log", conf);
	text = xasprintf("ListenAddress 127.0.0.1:%d\nHostKey %s/host\nAuthorizedKeysFile %s/auth\n"
			 "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
			 "PasswordAuthentication no\nMaxStartups 100\nLogLevel DEBUG\n%s",
			 *ret_port, dir, dir, more);
	assert_int_equal(kc_file_write(conf, text, strlen(text), 0600, NULL), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* not to outlive a test that crashed */
		execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-E", log, "-f", conf, NULL);
		_exit(127);
	}
	while (!answers(*ret_port) && kc_now_ms() < deadline)
		kc_sleep_ms(20);
	return pid;
}

static int setup(void **state)
{
	static const char *const users[] = { "ed", "ec", "locked", "rsa" };
	_cleanup_free_ char *auth = NULL;
	char *all = xstrdup("");

	assert_non_null(mkdtemp(dir));
	kc_mkdir_p("/run/sshd", 0755, NULL); /* sshd's privilege separation wants it */
	keygen("ed25519", "host", "");
	keygen("ed25519", "ed", "");
	keygen("ecdsa", "ec", "");
	keygen("ed25519", "locked", "sesame");
	keygen("rsa", "rsa", "");
	keygen("ed25519", "stranger", "");
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		_cleanup_free_ char *pub = xasprintf("%s/%s.pub", dir, users[i]), *line = NULL;
		char *sum;

		assert_int_equal(kc_file_read(pub, 65536, &line, NULL, NULL), 0);
		sum = xasprintf("%s%s", all, line);
		free(all);
		all = sum;
	}
	auth = in_dir("auth");
	assert_int_equal(kc_file_write(auth, all, strlen(all), 0600, NULL), 0);
	free(all);
	setenv("HOME", dir, 1);
	unsetenv("SSH_AUTH_SOCK");
	sshd = start_sshd("sshd", &port, "");
	odd_sshd = start_sshd("odd", &odd_port, "Ciphers chacha20-poly1305@openssh.com\n");
	return 0;
}

static int teardown(void **state)
{
	kill(sshd, SIGTERM);
	kill(odd_sshd, SIGTERM);
	waitpid(sshd, NULL, 0);
	waitpid(odd_sshd, NULL, 0);
	return kc_rm_rf(dir, NULL);
}

#endif
