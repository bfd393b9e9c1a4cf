/* Blobs from host to host: what is served, to whom, and what is made of it. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "bootstrap/node/peer.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

#define BIG (3 << 20)

static char root[] = "/tmp/kc-peer-XXXXXX";
static char *from, *to, small[KC_SHA256_HEX], big[KC_SHA256_HEX], token[40];
static int port, input[2];
static pthread_t server;

static void *serve(void *out)
{
	struct kc_err err;

	if (kc_peer_serve(from, "MARK", "127.0.0.1", input[0], out, &err) < 0)
		abort();
	fclose(out);
	return NULL;
}

static void put(const char *dir, const char *name, const char *data, size_t n)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(kc_file_write(path, data, n, 0600, NULL), 0);
}

static int setup(void **x)
{
	_cleanup_free_ char *data = xcalloc(1, BIG);
	int out[2];
	FILE *lines;

	if (!mkdtemp(root) || pipe(out) < 0 || pipe(input) < 0)
		return -1;
	from = xasprintf("%s/from", root);
	to = xasprintf("%s/to", root);
	kc_mkdir_p(from, 0700, NULL);
	kc_mkdir_p(to, 0700, NULL);
	for (int i = 0; i < BIG; i++)
		data[i] = (char)(i * 7 + i / 999);
	kc_sha256("small", 5, small);
	kc_sha256(data, BIG, big);
	put(from, small, "small", 5);
	put(from, big, data, BIG);
	put(from, "secret", "not a blob", 10);
	pthread_create(&server, NULL, serve, fdopen(out[1], "w"));
	lines = fdopen(out[0], "r");
	return fscanf(lines, "MARK %d %39s", &port, token) == 2 ? fclose(lines) : -1;
}

/* It ends with its input, and nobody listens any more. */
static int teardown(void **x)
{
	struct kc_err err;
	json_auto_t *q = kc_pack("{s:s, s:i, s:s, s:i, s:[]}", "address", "127.0.0.1", "port", port,
				 "token", token, "ms", 9000, "blobs");
	json_t *answer = NULL;

	close(input[1]);
	pthread_join(server, NULL);
	assert_true(kc_peer_fetch(to, q, &answer, &err) < 0);
	assert_null(answer);
	free(from);
	free(to);
	return kc_rm_rf(root, NULL);
}

static int fetch(const char *with, const char *const *shas, struct kc_err *err)
{
	json_auto_t *q = kc_pack("{s:s, s:i, s:s, s:i, s:[]}", "address", "127.0.0.1", "port", port,
				 "token", with, "ms", 20000, "blobs"),
		    *answer = NULL;

	for (; *shas; shas++)
		json_array_append_new(json_object_get(q, "blobs"), json_string(*shas));
	return kc_peer_fetch(to, q, &answer, err);
}

static bool there(const char *sha)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", to, sha);
	char hex[KC_SHA256_HEX];
	bool is = kc_exists(path);

	if (is) {
		assert_int_equal(kc_sha256_file(path, hex, NULL, NULL), 0);
		assert_string_equal(hex, sha);
		unlink(path);
	}
	return is;
}

static void test_gives(void **x)
{
	struct kc_err err;

	if (fetch(token, (const char *const[]){ small, big, NULL }, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(there(small));
	assert_true(there(big));
}

/* What apply has removed meanwhile can still be given. */
static void test_gives_what_is_gone(void **x)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", from, small);

	unlink(path);
	assert_int_equal(fetch(token, (const char *const[]){ small, NULL }, NULL), 0);
	assert_true(there(small));
}

static void test_refuses(void **x)
{
	char other[KC_SHA256_HEX], wrong[40];
	struct kc_err err;

	kc_sha256("other", 5, other);
	strcpy(wrong, token);
	wrong[31] = wrong[31] == '0' ? '1' : '0';
	assert_int_equal(fetch(wrong, (const char *const[]){ small, NULL }, &err), KC_ENOTFOUND);
	assert_int_equal(fetch("", (const char *const[]){ small, NULL }, &err), KC_ENOTFOUND);
	assert_false(there(small));
	/* What came before stays; what nobody has is an error. */
	assert_int_equal(fetch(token, (const char *const[]){ small, other, big, NULL }, &err),
			 KC_ENOTFOUND);
	assert_true(there(small));
	assert_false(there(big));
	assert_int_equal(fetch(token, (const char *const[]){ "secret", NULL }, &err), KC_EINVAL);
	assert_int_equal(fetch(token, (const char *const[]){ "../from/secret", NULL }, &err),
			 KC_EINVAL);
}

/* One answer for whoever asks, as a peer that lies would give it. */
struct liar {
	int fd;
	const char *says;
};

static void *lie(void *cookie)
{
	struct liar *l = cookie;
	char line[256];
	int fd = accept(l->fd, NULL, NULL);

	if (read(fd, line, sizeof(line)) <= 0 || write(fd, l->says, strlen(l->says)) < 0)
		abort();
	close(fd);
	return NULL;
}

static void lied(const char *says, int code, const char *why)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct liar l = { socket(AF_INET, SOCK_STREAM, 0), says };
	socklen_t len = sizeof(sa);
	int real = port;
	struct kc_err err;
	pthread_t t;

	assert_int_equal(bind(l.fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(l.fd, 1), 0);
	getsockname(l.fd, (struct sockaddr *)&sa, &len);
	port = ntohs(sa.sin_port);
	pthread_create(&t, NULL, lie, &l);
	assert_int_equal(fetch(token, (const char *const[]){ small, NULL }, &err), code);
	if (!strstr(err.msg, why))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
	pthread_join(t, NULL);
	close(l.fd);
	port = real;
	assert_false(there(small));
}

static void test_liars(void **x)
{
	_cleanup_free_ char *bad = xasprintf("{\"sha256\":\"%s\",\"size\":5}\nsmelt", small),
			    *cut = xasprintf("{\"sha256\":\"%s\",\"size\":500}\nsmall", small),
			    *big_one =
				    xasprintf("{\"sha256\":\"%s\",\"size\":99999999999}\n", small),
			    *other = xasprintf("{\"sha256\":\"%s\",\"size\":5}\nsmall", big);

	lied(bad, KC_EINVAL, "changed on the way");
	lied(cut, KC_EFAIL, "early");
	lied(big_one, KC_EINVAL, "bad sha256 or size");
	lied(other, KC_EINVAL, "not what was asked for");
	lied("<html>\n", KC_EINVAL, "blob header");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gives),
		cmocka_unit_test(test_gives_what_is_gone),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_liars),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
