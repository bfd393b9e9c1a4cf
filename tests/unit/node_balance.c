/* The balancer with real sockets on loopback: a child process runs it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bootstrap/node/balance.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

static char config[64];
static pid_t child = -1;
static int port_front;

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* A listening socket on port (0: any free one); its port comes back. */
static int listener(int *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in a = loopback(*port);
	socklen_t n = sizeof(a);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 64), 0);
	getsockname(fd, (struct sockaddr *)&a, &n);
	*port = ntohs(a.sin_port);
	return fd;
}

static int free_port(void)
{
	int port = 0, fd = listener(&port);

	close(fd);
	return port;
}

static int dial(int port)
{
	int64_t until = kc_now_ms() + 5000;

	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct sockaddr_in a = loopback(port);

		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		close(fd);
		assert_true(kc_now_ms() < until);
		kc_sleep_ms(2);
	}
}

/* The next connection that says something; probes come and go without a word. */
static int accept_talking(int fd, char *first)
{
	int64_t until = kc_now_ms() + 5000;

	while (kc_now_ms() < until) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int c;

		if (poll(&p, 1, 100) != 1)
			continue;
		c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (c >= 0 && read(c, first, 1) == 1)
			return c;
		close(c);
	}
	fail_msg("no connection came through");
	return -1;
}

static void configure(const char *backends, const char *local)
{
	_cleanup_free_ char *text =
		xasprintf("{\"listen\": [\"127.0.0.1:%d\", \"[::1]:%d\"], \"backends\": [%s], "
			  "\"local\": \"%s\"}",
			  port_front, port_front, backends, local);

	assert_int_equal(kc_file_write(config, text, strlen(text), 0600, NULL), 0);
}

static char *backend(int port)
{
	return xasprintf("\"127.0.0.1:%d\"", port);
}

static void start(void)
{
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct kc_err err;

		close_range(3, ~0u, 0); /* the test's listeners must end when it closes them */
		_exit(kc_balance_run(config, &err) < 0 ? 1 : 0);
	}
}

static int setup(void **state)
{
	snprintf(config, sizeof(config), "/tmp/kc-balance-%d.json", getpid());
	port_front = free_port();
	return 0;
}

static int teardown(void **state)
{
	int status = 0;

	if (child > 0) {
		kill(child, SIGTERM);
		waitpid(child, &status, 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	child = -1;
	unlink(config);
	return 0;
}

static void read_exactly(int fd, char *buf, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t k = read(fd, buf + got, n - got);

		assert_true(k > 0);
		got += (size_t)k;
	}
}

/* Bytes go both ways, and an end in one direction leaves the other open. */
static void half_close(void **state)
{
	int port = 0, fd = listener(&port), client, server;
	_cleanup_free_ char *b = backend(port);
	char buf[8];

	configure(b, "");
	start();
	client = dial(port_front);
	assert_int_equal(write(client, "hello", 5), 5);
	server = accept_talking(fd, buf);
	read_exactly(server, buf + 1, 4);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	assert_int_equal(read(server, buf, 1), 0);
	assert_int_equal(write(server, "still", 5), 5);
	read_exactly(client, buf, 5);
	assert_memory_equal(buf, "still", 5);
	close(server);
	assert_int_equal(read(client, buf, 1), 0);
	close(client);
	close(fd);
}

/* A client may come before any backend: it is served as soon as one is up. */
static void backend_that_comes_up_late(void **state)
{
	int port = free_port(), client, server, fd;
	_cleanup_free_ char *b = backend(port);
	char c;

	configure(b, "");
	start();
	client = dial(port_front);
	assert_int_equal(write(client, "x", 1), 1);
	kc_sleep_ms(300); /* the checks must have failed several times */
	fd = listener(&port);
	server = accept_talking(fd, &c);
	assert_int_equal(c, 'x');
	close(client);
	close(server);
	close(fd);
}

static void prefers_local_and_fails_over(void **state)
{
	int one = 0, two = 0, a = listener(&one), b = listener(&two), client, server;
	_cleanup_free_ char *list = xasprintf("\"127.0.0.1:%d\", \"127.0.0.1:%d\"", one, two),
			    *local = xasprintf("127.0.0.1:%d", two);
	char c;

	configure(list, local);
	start();
	for (int i = 0; i < 5; i++) {
		client = dial(port_front);
		assert_int_equal(write(client, "l", 1), 1);
		server = i ? accept_talking(b, &c) : -1;
		if (i == 0) { /* before the first check of the local one, either may be taken */
			close(client);
			kc_sleep_ms(200);
			continue;
		}
		close(server);
		close(client);
	}
	close(b);
	client = dial(port_front);
	assert_int_equal(write(client, "f", 1), 1);
	do {
		server = accept_talking(a, &c);
	} while (c != 'f' && close(server) == 0);
	close(server);
	close(client);
	close(a);
}

/* A new file is taken up, by SIGHUP at once; a broken one changes nothing. */
static void reload(void **state)
{
	int one = 0, two = 0, a = listener(&one), b = listener(&two), client, server;
	_cleanup_free_ char *first = backend(one), *second = backend(two);
	char c;

	configure(first, "");
	start();
	client = dial(port_front);
	assert_int_equal(write(client, "1", 1), 1);
	server = accept_talking(a, &c);
	assert_int_equal(kc_file_write(config, "{", 1, 0600, NULL), 0);
	kill(child, SIGHUP);
	kc_sleep_ms(100);
	assert_int_equal(write(client, "2", 1), 1);
	read_exactly(server, &c, 1);
	assert_int_equal(c, '2');
	configure(second, "");
	kill(child, SIGHUP);
	assert_int_equal(read(server, &c, 1), 0); /* its backend is gone from the file */
	close(server);
	close(client);
	client = dial(port_front);
	assert_int_equal(write(client, "3", 1), 1);
	server = accept_talking(b, &c);
	assert_int_equal(c, '3');
	close(server);
	close(client);
	close(a);
	close(b);
}

enum { BULK = 32 << 20 };

static void *pour(void *arg)
{
	int fd = *(int *)arg;
	char chunk[65536];

	for (size_t sent = 0; sent < BULK; sent += sizeof(chunk)) {
		memset(chunk, (int)(sent >> 16), sizeof(chunk));
		if (kc_write_all(fd, chunk, sizeof(chunk), NULL) < 0)
			break;
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

/* A slow reader stops the writer, and nothing is lost. */
static void backpressure(void **state)
{
	int port = 0, fd = listener(&port), client, server;
	_cleanup_free_ char *b = backend(port), *chunk = xmalloc(65536);
	pthread_t thread;
	size_t got = 0;
	char c;

	configure(b, "");
	start();
	client = dial(port_front);
	assert_int_equal(write(client, "x", 1), 1);
	server = accept_talking(fd, &c);
	assert_int_equal(pthread_create(&thread, NULL, pour, &server), 0);
	kc_sleep_ms(200); /* the buffers on the way fill up */
	for (;;) {
		ssize_t n = read(client, chunk, 65536);

		assert_true(n >= 0);
		if (n == 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal((unsigned char)chunk[i], ((got + (size_t)i) >> 16) & 0xff);
		got += (size_t)n;
	}
	assert_int_equal(got, BULK);
	pthread_join(thread, NULL);
	close(client);
	close(server);
	close(fd);
}

static void bad_configuration(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{\"listen\": []}",
		"{\"listen\": [], \"backends\": []}",
		"{\"listen\": [\"127.0.0.1\"], \"backends\": []}",
		"{\"listen\": [\"127.0.0.1:1\"], \"backends\": [\"api.example.com:6443\"]}",
	};
	struct kc_err err;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(kc_file_write(config, bad[i], strlen(bad[i]), 0600, NULL), 0);
		assert_true(kc_balance_run(config, &err) < 0);
		assert_non_null(strstr(err.msg, config));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(half_close, setup, teardown),
		cmocka_unit_test_setup_teardown(backend_that_comes_up_late, setup, teardown),
		cmocka_unit_test_setup_teardown(prefers_local_and_fails_over, setup, teardown),
		cmocka_unit_test_setup_teardown(reload, setup, teardown),
		cmocka_unit_test_setup_teardown(backpressure, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_configuration, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
