/* lib/net/api against a server that plays a script: one connection, one answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/net/api.h"

static int listen_fd, port;
static const char
	*_Atomic script[16]; /* the rest of the status line and headers; "cut": no answer */
static atomic_int served, built;
static pthread_t server;

static void *play(void *arg)
{
	for (;;) {
		int fd = accept(listen_fd, NULL, NULL);
		char buf[8192];
		const char *s;

		if (fd < 0)
			return NULL;
		s = script[atomic_fetch_add(&served, 1)];
		if (read(fd, buf, sizeof(buf)) > 0 && s && !streq(s, "cut")) {
			_cleanup_free_ char *text =
				xasprintf("HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: "
					  "4\r\n\r\nbody",
					  s);

			send(fd, text, strlen(text), MSG_NOSIGNAL);
		}
		close(fd);
	}
}

static int setup(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(listen(listen_fd, 64), 0);
	port = ntohs(a.sin_port);
	return pthread_create(&server, NULL, play, NULL);
}

static int teardown(void **state)
{
	shutdown(listen_fd, SHUT_RDWR);
	pthread_join(server, NULL);
	close(listen_fd);
	return 0;
}

static int build(void *cookie, struct kc_api_req *ret, struct kc_err *err)
{
	ret->method = xstrdup("POST");
	ret->url = xasprintf("http://127.0.0.1:%d/", port);
	kc_api_header(ret, "X-Number: %d", atomic_fetch_add(&built, 1));
	ret->body = xstrdup("{}");
	ret->body_len = 2;
	return 0;
}

static enum kc_api_verdict judge(void *cookie, const struct kc_http_reply *reply,
				 struct kc_err *err)
{
	_cleanup_free_ char *text = kc_api_excerpt(reply);

	if (reply->status == 200)
		return KC_API_DONE;
	kc_fail(err, KC_EAUTH, "%s", text);
	return reply->status == 429   ? KC_API_THROTTLED
	       : reply->status == 401 ? KC_API_REBUILD
	       : reply->status == 409 ? KC_API_RETRY
	       : reply->status >= 500 ? KC_API_UNSURE
				      : KC_API_ERROR;
}

/* What comes of a call while the server plays these answers. */
static int run(struct kc_api_call c, struct kc_err *err, const char *const *answers)
{
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	_cleanup_http_ struct kc_http *h = NULL;

	assert_int_equal(kc_http_new(&(struct kc_http_conf){ 0 }, &h, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(script); i++) {
		script[i] = *answers;
		answers += *answers != NULL;
	}
	atomic_store(&served, 0);
	atomic_store(&built, 0);
	*err = (struct kc_err){ 0 };
	c.what = "toy: Call";
	c.build = build;
	c.judge = judge;
	return kc_api_do(h, &c, &reply, err);
}
#define RUN(err, call, ...)                                                                        \
	run((struct kc_api_call){ __VA_ARGS__ }, err, (const char *const[]){ call, NULL })
#define ANSWERS(...) __VA_ARGS__

static void test_retries(void **state)
{
	struct kc_err err;

	assert_int_equal(RUN(&err, ANSWERS("409 Busy", "409 Busy", "200 OK"), .attempts = 3), 0);
	assert_int_equal(served, 3);
	assert_int_equal(built, 3);
	assert_int_equal(RUN(&err, ANSWERS("409 Busy", "409 Busy", "200 OK"), .attempts = 2),
			 KC_EAGAIN);
	assert_string_equal(err.msg, "toy: Call: HTTP 409: body (after 2 attempts)");
	assert_int_equal(RUN(&err, "404 No", .attempts = 3), KC_EAUTH);
	assert_string_equal(err.msg, "toy: Call: HTTP 404: body");
	assert_int_equal(served, 1);
}

static void test_unsure(void **state)
{
	struct kc_err err;

	assert_int_equal(RUN(&err, ANSWERS("cut", "500 Oops", "200 OK"), .idempotent = true), 0);
	assert_int_equal(served, 3);
	assert_int_equal(RUN(&err, ANSWERS("500 Oops", "200 OK"), .attempts = 5), KC_EAGAIN);
	assert_string_equal(err.msg, "toy: Call: it may have happened: HTTP 500: body");
	assert_int_equal(served, 1);
	assert_int_equal(RUN(&err, ANSWERS("cut", "200 OK"), .attempts = 5), KC_EAGAIN);
	assert_true(kc_startswith(err.msg, "toy: Call: it may have happened: http://127.0.0.1"));
	assert_int_equal(served, 1);
}

static void test_rebuild(void **state)
{
	struct kc_err err;

	assert_int_equal(RUN(&err, ANSWERS("401 Old", "200 OK")), 0);
	assert_int_equal(RUN(&err, ANSWERS("401 Old", "401 Old", "200 OK")), KC_EAUTH);
	assert_int_equal(served, 2);
}

static void test_throttled(void **state)
{
	struct kc_bucket b;
	struct kc_err err;
	int64_t start;

	kc_bucket_init(&b, 5, 3);
	start = kc_now_ms();
	assert_int_equal(RUN(&err, ANSWERS("429 Slow\r\nRetry-After: 1", "200 OK"), .bucket = &b),
			 0);
	assert_in_range(kc_now_ms() - start, 1000, 5000);
	/* A server that asks for more time than there is, is not waited for. */
	start = kc_now_ms();
	assert_int_equal(RUN(&err, "429 Slow\r\nRetry-After: 30", .deadline_ms = 5000), KC_EAGAIN);
	assert_in_range(kc_now_ms() - start, 0, 2000);
	kc_bucket_done(&b);
}

static bool now(void *cookie)
{
	return true;
}

static void test_bucket(void **state)
{
	int64_t start = kc_now_ms();
	struct kc_bucket b;
	struct kc_err err;

	kc_bucket_init(&b, 20, 2);
	for (int i = 0; i < 6; i++)
		assert_true(kc_bucket_take(&b, NULL, NULL));
	assert_in_range(kc_now_ms() - start, 190, 2000);
	kc_bucket_done(&b);

	kc_bucket_init(&b, 0.01, 1);
	assert_true(kc_bucket_take(&b, now, NULL));
	assert_false(kc_bucket_take(&b, now, NULL));
	assert_int_equal(RUN(&err, "200 OK", .bucket = &b, .deadline_ms = 300), KC_ETIMEOUT);
	assert_string_equal(err.msg, "toy: Call: not done within 1 s");
	assert_int_equal(RUN(&err, "200 OK", .canceled = now), KC_ECANCELED);
	assert_int_equal(served, 0);
	kc_bucket_done(&b);
}

static void *take_five(void *bucket)
{
	for (int i = 0; i < 5; i++)
		kc_bucket_take(bucket, NULL, NULL);
	return NULL;
}

static void test_bucket_of_threads(void **state)
{
	int64_t start = kc_now_ms();
	struct kc_bucket b;
	pthread_t t[4];

	kc_bucket_init(&b, 50, 1);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_five, &b), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	assert_in_range(kc_now_ms() - start, 375, 4000); /* 19 at 50 a second */
	kc_bucket_done(&b);
}

static void test_pages(void **state)
{
	_cleanup_api_pages_ struct kc_api_pages p = { .max = 4 };
	struct kc_err err;

	assert_int_equal(kc_api_pages_next(&p, "list", "a", &err), 0);
	assert_int_equal(kc_api_pages_next(&p, "list", "b", &err), 0);
	assert_int_equal(kc_api_pages_next(&p, "list", "a", &err), KC_EFAIL);
	assert_string_equal(err.msg, "list: page 3 sends back to \"a\"");
	assert_int_equal(kc_api_pages_next(&p, "list", "c", &err), KC_EFAIL);
	assert_string_equal(err.msg, "list: more than 4 pages");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retries), cmocka_unit_test(test_unsure),
		cmocka_unit_test(test_rebuild), cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_bucket),	cmocka_unit_test(test_bucket_of_threads),
		cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
