#include "lib/net/httpd.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/addr.h"
#include "lib/base/str.h"

enum { CONNECTIONS = 16, TIMEOUT_S = 10, MEMORY = 16384, BACKLOG = 16 };

struct kc_httpd {
	struct MHD_Daemon *daemon;
	kc_httpd_page *page;
	void *cookie;
};

static bool parse_where(const char *where, struct sockaddr_storage *out, socklen_t *ret_len)
{
	const char *colon = strrchr(where, ':');
	_cleanup_free_ char *host = NULL;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	bool bracketed = *where == '[' && colon && colon > where && colon[-1] == ']';
	struct kc_addr a;
	long port;

	memset(out, 0, sizeof(*out));
	if (!colon || !kc_parse_long(colon + 1, 1, 65535, &port))
		return false;
	host = bracketed ? xstrndup(where + 1, (size_t)(colon - where) - 2)
			 : xstrndup(where, (size_t)(colon - where));
	if (!kc_addr_parse(host, &a) || (a.family == AF_INET6) != bracketed)
		return false;
	if (a.family == AF_INET) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		memcpy(&v4->sin_addr, a.bytes, 4);
		*ret_len = sizeof(*v4);
	} else {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		memcpy(&v6->sin6_addr, a.bytes, 16);
		*ret_len = sizeof(*v6);
	}
	return true;
}

/* Our own socket, so that what is wrong with the address can be said. */
static int open_socket(const char *where, int *ret, struct kc_err *err)
{
	struct sockaddr_storage to;
	_cleanup_close_ int fd = -1;
	socklen_t len;
	int on = 1;

	if (!parse_where(where, &to, &len))
		return kc_fail(err, KC_EINVAL,
			       "\"%.80s\" is not ADDRESS:PORT, as 127.0.0.1:9402 or [::1]:9402",
			       where);
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return kc_fail_errno(err, errno, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&to, len) < 0 || listen(fd, BACKLOG) < 0)
		return errno == EADDRINUSE ? kc_fail(err, KC_ECONFLICT,
						     "%s is in use by another program", where)
					   : kc_fail_errno(err, errno, "listening on %s", where);
	*ret = fd;
	fd = -1;
	return 0;
}

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, char *text)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result done;

	if (!r) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE,
				"text/plain; version=0.0.4; charset=utf-8");
	done = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result on_request(void *cookie, struct MHD_Connection *c, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **state)
{
	struct kc_httpd *h = cookie;
	char *text = NULL;
	int status;

	if (!streq(method, "GET") && !streq(method, "HEAD"))
		return reply(c, MHD_HTTP_METHOD_NOT_ALLOWED, xstrdup("GET only\n"));
	status = h->page(h->cookie, path, &text);
	return reply(c, (unsigned)status, text ? text : xstrdup("not found\n"));
}

int kc_httpd_start(const char *where, kc_httpd_page *page, void *cookie, struct kc_httpd **ret,
		   struct kc_err *err)
{
	struct kc_httpd *h;
	int fd, r = open_socket(where, &fd, err);

	if (r < 0)
		return r;
	h = xcalloc(1, sizeof(*h));
	h->page = page;
	h->cookie = cookie;
	h->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, h,
				     MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				     (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
				     (unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				     (size_t)MEMORY, MHD_OPTION_END);
	if (!h->daemon) {
		close(fd);
		free(h);
		return kc_fail(err, KC_EFAIL, "no server on %s could be started", where);
	}
	*ret = h;
	return 0;
}

void kc_httpd_stop(struct kc_httpd *h)
{
	if (!h)
		return;
	MHD_stop_daemon(h->daemon); /* closes the socket, too */
	free(h);
}
