/* lib/net/http against a server of ours that speaks plain HTTP badly, and openssl's over TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/crypto/pki.h"
#include "lib/net/http.h"

static int listen_fd, port;
static atomic_int connections, cuts;
static pthread_t server;

static int make_listener(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static void answer(int fd, const char *head, const char *body)
{
	_cleanup_free_ char *text =
		xasprintf("HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);

	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* One request: its head ends with an empty line; bodies are short and come with it. */
static bool serve(int fd)
{
	char buf[65536];
	size_t n = 0;

	do {
		ssize_t got = read(fd, buf + n, sizeof(buf) - 1 - n);

		if (got <= 0)
			return false;
		n += (size_t)got;
		buf[n] = 0;
	} while (!strstr(buf, "\r\n\r\n") || (strstr(buf, "/echo ") && !kc_endswith(buf, "END")));
	if (strstr(buf, " /hang "))
		return pause() == 0;
	if (strstr(buf, " /cut ")) {
		atomic_fetch_add(&cuts, 1);
		return false;
	}
	if (strstr(buf, " /big "))
		answer(fd, "200 OK", buf);
	else if (strstr(buf, " /redirect "))
		answer(fd, "302 Found\r\nLocation: file:///etc/passwd", "");
	else if (strstr(buf, " /missing "))
		answer(fd, "404 Not Found\r\nX-Mixed-CASE:  Some Value ", "nope");
	else
		answer(fd, "200 OK", buf);
	return true;
}

static void *connection(void *arg)
{
	int fd = (int)(intptr_t)arg;

	while (serve(fd))
		;
	close(fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	for (;;) {
		int fd = accept(listen_fd, NULL, NULL);
		pthread_t t;

		if (fd < 0)
			return NULL;
		atomic_fetch_add(&connections, 1);
		pthread_create(&t, NULL, connection, (void *)(intptr_t)fd);
		pthread_detach(t);
	}
}

static int setup(void **state)
{
	listen_fd = make_listener(&port);
	assert_int_equal(listen(listen_fd, 64), 0);
	assert_int_equal(pthread_create(&server, NULL, accept_all, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	shutdown(listen_fd, SHUT_RDWR);
	pthread_join(server, NULL);
	close(listen_fd);
	return 0;
}

static struct kc_http *http(void)
{
	struct kc_http *h = NULL;

	assert_int_equal(kc_http_new(&(struct kc_http_conf){ 0 }, &h, NULL), 0);
	return h;
}

static int get(struct kc_http *h, const char *path, struct kc_http_req req,
	       struct kc_http_reply *ret, struct kc_err *err)
{
	_cleanup_free_ char *url = xasprintf("http://127.0.0.1:%d%s", port, path);

	req.url = url;
	return kc_http_do(h, &req, ret, err);
}

/* A kept connection may be closed by the peer at any time, so libcurl repeats what it lost: not
 * what must not be done twice. */
static void test_once(void **state)
{
	_cleanup_http_ struct kc_http *h = http();
	struct kc_http_reply a = { 0 };
	bool sent = false;

	assert_int_equal(get(h, "/", (struct kc_http_req){ 0 }, &a, NULL), 0);
	kc_http_reply_done(&a);
	atomic_store(&cuts, 0);
	assert_int_equal(get(h, "/cut", (struct kc_http_req){ .ret_sent = &sent }, &a, NULL),
			 KC_EAGAIN);
	assert_int_equal(cuts, 2);
	assert_true(sent);

	assert_int_equal(get(h, "/", (struct kc_http_req){ 0 }, &a, NULL), 0);
	kc_http_reply_done(&a);
	atomic_store(&cuts, 0);
	assert_int_equal(get(h, "/cut", (struct kc_http_req){ .once = true, .ret_sent = &sent }, &a,
			     NULL),
			 KC_EAGAIN);
	assert_int_equal(cuts, 1);
	assert_true(sent);
	assert_int_equal(kc_http_do(h,
				    &(struct kc_http_req){ .url = "http://127.0.0.1:1/",
							   .ret_sent = &sent },
				    &a, NULL),
			 KC_EAGAIN);
	assert_false(sent);
}

static void test_requests(void **state)
{
	_cleanup_http_ struct kc_http *h = http();
	static const char *const headers[] = { "X-One: 1", NULL };
	struct kc_http_reply a = { 0 }, b = { 0 }, c = { 0 };
	struct kc_err err = { 0 };
	int before = atomic_load(&connections);

	assert_int_equal(get(h, "/echo",
			     (struct kc_http_req){ .method = "PATCH",
						   .body = "bodyEND",
						   .body_len = 7,
						   .headers = headers },
			     &a, &err),
			 0);
	assert_int_equal(a.status, 200);
	assert_true(kc_startswith(a.body, "PATCH /echo HTTP/1.1\r\n"));
	assert_non_null(strstr(a.body, "X-One: 1\r\n"));
	assert_true(kc_endswith(a.body, "\r\n\r\nbodyEND"));
	assert_null(strstr(a.body, "Expect"));
	assert_int_equal(get(h, "/missing", (struct kc_http_req){ 0 }, &b, &err), 0);
	assert_int_equal(b.status, 404);
	assert_string_equal(b.body, "nope");
	assert_non_null(kc_http_header(&b, "x-mixed-case"));
	assert_true(kc_startswith(kc_http_header(&b, "x-mixed-case"), "Some Value"));
	assert_null(kc_http_header(&b, "x-mixed"));
	assert_int_equal(get(h, "/redirect", (struct kc_http_req){ 0 }, &c, &err), 0);
	assert_int_equal(c.status, 302);
	assert_int_equal(atomic_load(&connections) - before, 1); /* one, kept */
	kc_http_reply_done(&a);
	kc_http_reply_done(&b);
	kc_http_reply_done(&c);
}

static bool always(void *cookie)
{
	return true;
}

static void refuses(int r, int code, const struct kc_err *err, const char *words)
{
	if (r != code || !strstr(err->msg, words) || strstr(err->msg, "s3cret"))
		fail_msg("got %d \"%s\", wanted %d with \"%s\"", r, err->msg, code, words);
}

static void test_failures(void **state)
{
	_cleanup_http_ struct kc_http *h = http();
	struct kc_http_reply reply = { 0 };
	struct kc_err err = { 0 };
	_cleanup_free_ char *url = NULL;
	int closed, r;

	r = get(h, "/big", (struct kc_http_req){ .max = 10 }, &reply, &err);
	refuses(r, KC_EINVAL, &err, "larger than 10 bytes");
	r = get(h, "/hang", (struct kc_http_req){ .timeout_ms = 200 }, &reply, &err);
	refuses(r, KC_ETIMEOUT, &err, "/hang");
	r = get(h, "/hang", (struct kc_http_req){ .canceled = always }, &reply, &err);
	refuses(r, KC_ECANCELED, &err, "canceled");
	r = get(h, "/cut", (struct kc_http_req){ 0 }, &reply, &err);
	refuses(r, KC_EAGAIN, &err, "/cut");
	r = kc_http_do(h, &(struct kc_http_req){ .url = "file:///etc/passwd" }, &reply, &err);
	refuses(r, KC_EINVAL, &err, "file");
	close(make_listener(&closed));
	url = xasprintf("http://me:s3cret@127.0.0.1:%d/x?token=s3cret", closed);
	r = kc_http_do(h, &(struct kc_http_req){ .url = url }, &reply, &err);
	refuses(r, KC_EAGAIN, &err, "http://127.0.0.1");
	assert_null(reply.body);
}

static void *many(void *arg)
{
	for (int i = 0; i < 30; i++) {
		struct kc_http_reply reply = { 0 };
		struct kc_err err = { 0 };

		if (get(arg, "/x", (struct kc_http_req){ 0 }, &reply, &err) < 0)
			return "failed";
		kc_http_reply_done(&reply);
	}
	return NULL;
}

static int collect(void *cookie, long status, const void *data, size_t len, struct kc_err *err)
{
	size_t *sum = cookie;

	*sum += len;
	return status == 200 ? 0 : kc_fail(err, KC_ECONFLICT, "status %ld", status);
}

static int full(void *cookie, long status, const void *data, size_t len, struct kc_err *err)
{
	return kc_fail(err, KC_EFAIL, "no space left");
}

/* Long bodies pass by in pieces, both ways; who stops moving is given up. */
static void test_pieces(void **state)
{
	_cleanup_http_ struct kc_http *h = http();
	struct kc_http_reply a = { 0 }, b = { 0 };
	char path[] = "/tmp/kc-http-XXXXXX";
	int fd = mkstemp(path), r;
	struct kc_err err = { 0 };
	int64_t start;
	size_t sum = 0;

	assert_int_equal(get(h, "/x", (struct kc_http_req){ .sink = collect, .sink_cookie = &sum },
			     &a, &err),
			 0);
	assert_true(sum > 0 && a.len == 0);
	/* What is not for the sink is in the reply. */
	assert_int_equal(get(h, "/missing", (struct kc_http_req){ .sink = full }, &b, &err), 0);
	assert_string_equal(b.body, "nope");
	r = get(h, "/x", (struct kc_http_req){ .sink = full }, &b, &err);
	assert_int_equal(r, KC_EFAIL);
	assert_non_null(strstr(err.msg, "no space left"));
	r = get(h, "/x", (struct kc_http_req){ .sink = collect, .sink_cookie = &sum, .max = 3 }, &b,
		&err);
	refuses(r, KC_EINVAL, &err, "larger than 3 bytes");
	kc_http_reply_done(&a);
	kc_http_reply_done(&b);

	assert_int_equal(write(fd, "skipped, BODY END", 17), 17);
	assert_int_equal(get(h, "/echo",
			     (struct kc_http_req){ .method = "PUT",
						   .body_fd = fd,
						   .body_offset = 9,
						   .body_len = 8 },
			     &a, &err),
			 0);
	assert_non_null(strstr(a.body, "PUT /echo"));
	assert_non_null(strstr(a.body, "Content-Length: 8\r\n"));
	assert_non_null(strstr(a.body, "\r\n\r\nBODY END"));
	kc_http_reply_done(&a);
	close(fd);
	unlink(path);

	start = kc_now_ms();
	r = get(h, "/hang", (struct kc_http_req){ .idle_ms = 1000 }, &a, &err);
	refuses(r, KC_ETIMEOUT, &err, "/hang");
	assert_true(kc_now_ms() - start < 10000);
}

static void test_threads(void **state)
{
	_cleanup_http_ struct kc_http *h = http();
	int before = atomic_load(&connections);
	pthread_t t[8];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, many, h), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		void *bad = NULL;

		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	assert_true(atomic_load(&connections) - before <= 8);
}

static void put(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(kc_file_write(path, text, strlen(text), 0600, NULL), 0);
}

/* A TLS server that demands a client certificate of this CA. */
static pid_t tls_server(const char *dir, int p)
{
	_cleanup_free_ char *at = xasprintf("127.0.0.1:%d", p);
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chdir(dir) == 0 && dup2(open("log", O_WRONLY | O_CREAT, 0600), 1) == 1 &&
	    dup2(1, 2) == 2)
		execlp("openssl", "openssl", "s_server", "-accept", at, "-cert", "cert", "-key",
		       "key", "-CAfile", "ca", "-Verify", "1", "-verify_return_error", "-www",
		       NULL);
	_exit(127);
}

struct tls {
	char *ca, *ca_key, *cert, *key, *other, *other_key;
};

static int try_tls(const char *ca, const char *cert, const char *key, int p, const char *host,
		   struct kc_err *err)
{
	struct kc_http_conf conf = { .ca_pem = ca, .cert_pem = cert, .key_pem = key };
	_cleanup_free_ char *url = xasprintf("https://%s:%d/", host, p);
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	_cleanup_http_ struct kc_http *h = NULL;
	int64_t deadline = kc_now_ms() + 10000;
	int r;

	r = kc_http_new(&conf, &h, err);
	if (r < 0)
		return r;
	do { /* the server may still be starting */
		r = kc_http_do(h, &(struct kc_http_req){ .url = url }, &reply, err);
	} while (r == KC_EAGAIN && strstr(err->msg, "Failed to connect") && kc_now_ms() < deadline);
	return r;
}

static void test_tls(void **state)
{
	static const char *const sans[] = { "127.0.0.1", NULL };
	const struct kc_cert_spec spec = {
		.cn = "x", .sans = sans, .seconds = 600, .uses = KC_USE_SERVER | KC_USE_CLIENT
	};
	char dir[] = "/tmp/kc-http-XXXXXX";
	struct tls t = { 0 };
	struct kc_err err = { 0 };
	pid_t pid;
	int p, r;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(kc_ca_new("one", 600, &t.ca, &t.ca_key, &err), 0);
	assert_int_equal(kc_ca_new("two", 600, &t.other, &t.other_key, &err), 0);
	assert_int_equal(kc_cert_new(t.ca, t.ca_key, &spec, &t.cert, &t.key, &err), 0);
	put(dir, "ca", t.ca);
	put(dir, "cert", t.cert);
	put(dir, "key", t.key);
	close(make_listener(&p));
	pid = tls_server(dir, p);
	r = try_tls(t.ca, t.cert, t.key, p, "127.0.0.1", &err);
	if (r < 0)
		fail_msg("%s", err.msg);
	r = try_tls(t.other, t.cert, t.key, p, "127.0.0.1", &err);
	refuses(r, KC_EAUTH, &err, "certificate");
	r = try_tls(NULL, t.cert, t.key, p, "127.0.0.1", &err);
	refuses(r, KC_EAUTH, &err, "certificate");
	r = try_tls(t.ca, t.cert, t.key, p, "localhost", &err); /* no such SAN */
	refuses(r, KC_EAUTH, &err, "localhost");
	r = try_tls(t.ca, NULL, NULL, p, "127.0.0.1", &err);
	refuses(r, KC_EAUTH, &err, "certificate");
	r = try_tls(t.ca, t.cert, NULL, p, "127.0.0.1", &err);
	refuses(r, KC_EINVAL, &err, "key");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	kc_rm_rf(dir, NULL);
	free(t.ca);
	free(t.ca_key);
	free(t.other);
	free(t.other_key);
	free(t.cert);
	free(t.key);
}

static void test_escape(void **state)
{
	_cleanup_free_ char *a = kc_http_escape("a b/c?d=e&~_-."), *b = kc_http_escape("");

	assert_string_equal(a, "a%20b%2Fc%3Fd%3De%26~_-.");
	assert_string_equal(b, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_once),
		cmocka_unit_test(test_failures), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_pieces),	 cmocka_unit_test(test_tls),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
