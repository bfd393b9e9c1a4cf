/* The agent's reach over loopback: this host probes itself, strangers and nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap/node/reach.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/codec/json.h"

/* A bound socket of a free port; TCP ones listen, and nobody ever accepts. */
static int stranger(bool udp, int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	if (!udp)
		assert_int_equal(listen(fd, 5), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static int free_port(bool udp)
{
	int port;

	close(stranger(udp, &port));
	return port;
}

/* One probe of port, answered by ourselves if ours; why it failed, or "". Owned. */
static char *probe(int port, bool udp, bool ours, bool serves, int ms)
{
	json_auto_t *listen =
			    ours ? kc_pack("[{s:i, s:b}]", "port", port, "udp", udp) : json_array(),
		    *q = kc_pack("{s:s, s:i, s:i, s:i, s:O, s:[{s:s, s:s, s:i, s:b, s:b}]}",
				 "token", "0123456789abcdef0123456789abcdef", "ms", ms, "self", 3,
				 "expect", ours ? 1 : 0, "listen", listen, "peers", "name", "me",
				 "address", "127.0.0.1", "port", port, "udp", udp, "serves",
				 serves),
		    *answer = NULL;
	const json_t *failed;
	struct kc_err err;

	if (kc_node_reach(q, &answer, &err) < 0)
		fail_msg("%s", err.msg);
	failed = json_object_get(answer, "failed");
	assert_true(json_is_array(failed));
	return xstrdup(kc_json_get_str(json_array_get(failed, 0), "why", ""));
}

static void reached(void **state)
{
	for (int udp = 0; udp < 2; udp++) {
		int64_t start = kc_now_ms();
		_cleanup_free_ char *why = probe(free_port(udp), udp, true, false, 5000);

		assert_string_equal(why, "");
		assert_true(kc_now_ms() - start < 2000); /* done when it is done */
	}
}

static void nobody_there(void **state)
{
	for (int udp = 0; udp < 2; udp++) {
		_cleanup_free_ char *why = probe(free_port(udp), udp, false, false, 200);

		assert_string_equal(why, "refused");
	}
}

static void somebody_else_there(void **state)
{
	for (int udp = 0; udp < 2; udp++) {
		int port, fd = stranger(udp, &port);
		_cleanup_free_ char *why = probe(port, udp, false, false, 200), *good = NULL;

		assert_string_equal(why, udp ? "no answer" : "something else answers there");
		if (!udp) {
			good = probe(port, udp, false, true, 5000);
			assert_string_equal(good, "");
		}
		close(fd);
	}
}

static void bad_questions(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"token\": \"short\", \"ms\": 1, \"self\": 0, \"expect\": 0, \"peers\": [], "
		"\"listen\": []}",
		"{\"token\": \"0123456789abcdef0123456789abcdef\", \"ms\": 100000, \"self\": 0, "
		"\"expect\": 0, \"peers\": [], \"listen\": []}",
		"{\"token\": \"0123456789abcdef0123456789abcdef\", \"ms\": 1, \"self\": 0, "
		"\"expect\": 0, \"peers\": [{\"address\": \"x\", \"port\": 1}], \"listen\": []}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_auto_t *q = json_loads(bad[i], 0, NULL), *answer = NULL;
		struct kc_err err;

		assert_non_null(q);
		assert_int_not_equal(kc_node_reach(q, &answer, &err), 0);
		assert_null(answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reached),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(somebody_else_there),
		cmocka_unit_test(bad_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
