#include "bootstrap/node/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { PROBE_MS = 1000, HEALTH_MAX = 65536 };

int kc_node_sockaddr(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
		     struct kc_err *err)
{
	_cleanup_free_ char *host = xstrdup(text);
	char *colon = strrchr(host, ':'), *name = host;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	long port;

	if (!colon || !kc_parse_long(colon + 1, 1, 65535, &port))
		return kc_fail(err, KC_EINVAL, "\"%s\" is not ADDRESS:PORT", text);
	*colon = '\0';
	if (*name == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		name++;
	}
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		*ret_len = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, name, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(*v6);
		return 0;
	}
	return kc_fail(err, KC_EINVAL, "\"%s\" is not ADDRESS:PORT", text);
}

static bool wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, PROBE_MS) == 1;
}

/* A connected, non-blocking socket, or KC_EAGAIN. */
static int dial(const struct sockaddr *sa, socklen_t len, const char *what, int *ret_fd,
		struct kc_err *err)
{
	_cleanup_close_ int fd =
		socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t n = sizeof(int);
	int e = 0;

	if (fd < 0)
		return kc_fail(err, KC_EAGAIN, "%s: %s", what, strerror(errno));
	if (connect(fd, sa, len) < 0) {
		e = errno;
		if (e == EINPROGRESS && !wait_for(fd, POLLOUT))
			e = ETIMEDOUT;
		else if (e == EINPROGRESS)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n);
	}
	if (e)
		return kc_fail(err, KC_EAGAIN, "%s: %s", what, strerror(e));
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int kc_node_dial(const char *text, int *ret_fd, struct kc_err *err)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int r = kc_node_sockaddr(text, &sa, &len, err);

	return r < 0 ? r : dial((struct sockaddr *)&sa, len, text, ret_fd, err);
}

static int dial_unix(const char *path, int *ret_fd, struct kc_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sa.sun_path))
		return kc_fail(err, KC_EINVAL, "%s: too long for a socket's path", path);
	strcpy(sa.sun_path, path);
	return dial((struct sockaddr *)&sa, sizeof(sa), path, ret_fd, err);
}

/* The whole answer, head and body: HTTP/1.0, so it ends with the connection. */
static int exchange(const char *url, size_t max, struct kc_buf *out, struct kc_err *err)
{
	_cleanup_free_ char *host = NULL, *request = NULL;
	_cleanup_close_ int fd = -1;
	const char *rest = url + strlen("http://"), *slash;
	char chunk[16384];
	ssize_t n;
	int r;

	if (!kc_startswith(url, "http://"))
		return kc_fail(err, KC_EINVAL, "probe %s: only http://ADDRESS:PORT/PATH", url);
	slash = strchr(rest, '/');
	host = slash ? xstrndup(rest, (size_t)(slash - rest)) : xstrdup(rest);
	r = kc_node_dial(host, &fd, err);
	if (r < 0)
		return r;
	request = xasprintf("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", slash ? slash : "/", host);
	if (write(fd, request, strlen(request)) < 0)
		return kc_fail(err, KC_EAGAIN, "%s: no answer", url);
	out->max = max;
	while (wait_for(fd, POLLIN) && (n = read(fd, chunk, sizeof(chunk))) > 0) {
		r = kc_buf_add(out, chunk, (size_t)n, err);
		if (r < 0)
			return kc_wrap(err, "%s", url);
	}
	return 0;
}

int kc_node_http(const char *url, size_t max, char **ret_body, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf reply = { 0 };
	const char *text, *body;
	int r = exchange(url, max, &reply, err);

	if (r < 0)
		return r;
	text = kc_buf_get(&reply);
	if (!kc_startswith(text, "HTTP/1.") || strlen(text) < 12 || text[9] != '2')
		return kc_fail(err, KC_EAGAIN, "%s: %.*s", url,
			       *text ? (int)strcspn(text, "\r\n") : 9, *text ? text : "no answer");
	body = strstr(text, "\r\n\r\n");
	if (ret_body)
		*ret_body = xstrdup(body ? body + 4 : "");
	return 0;
}

int kc_node_probe(const json_t *probe, struct kc_err *err)
{
	const char *http = json_string_value(json_object_get(probe, "http")),
		   *tcp = json_string_value(json_object_get(probe, "tcp")),
		   *path = json_string_value(json_object_get(probe, "unix")),
		   *file = json_string_value(json_object_get(probe, "file"));
	_cleanup_close_ int fd = -1;

	if (http)
		return kc_node_http(http, HEALTH_MAX, NULL, err);
	if (tcp)
		return kc_node_dial(tcp, &fd, err);
	if (path)
		return dial_unix(path, &fd, err);
	if (!file)
		return kc_fail(err, KC_EINVAL, "a probe is one of http, tcp, unix, file");
	return kc_exists(file) ? 0 : kc_fail(err, KC_EAGAIN, "%s is not there yet", file);
}
