/*
 * Why did the key exchange fail? libssh2 does not tell what the server offered,
 * so this reads the server's first packet, which is not encrypted (RFC 4253,
 * 4.2 and 7.1), from a second connection.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/net/ssh_impl.h"

enum { KEXINIT = 20, COOKIE = 16, EXPLAIN_MS = 5000 };

static const struct {
	const char *what;
	int list; /* its place in KEXINIT */
	int method;
} parts[] = {
	{ "key exchange", 0, LIBSSH2_METHOD_KEX },
	{ "host key", 1, LIBSSH2_METHOD_HOSTKEY },
	{ "cipher", 2, LIBSSH2_METHOD_CRYPT_CS },
	{ "MAC", 4, LIBSSH2_METHOD_MAC_CS },
};

/* Read exactly len bytes before the deadline. */
static bool read_exact(int fd, unsigned char *p, size_t len, int64_t deadline)
{
	for (size_t n = 0; n < len;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - kc_now_ms();
		ssize_t got =
			left > 0 && poll(&pfd, 1, (int)left) > 0 ? read(fd, p + n, len - n) : 0;

		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return true;
}

/* The identification line; servers may send other lines before it. */
static bool skip_banner(int fd, int64_t deadline)
{
	unsigned char c;
	char line[256];

	for (int lines = 0; lines < 50; lines++) {
		size_t n = 0;

		do {
			if (!read_exact(fd, &c, 1, deadline))
				return false;
			if (n < sizeof(line) - 1)
				line[n++] = (char)c;
		} while (c != '\n');
		line[n] = 0;
		if (kc_startswith(line, "SSH-"))
			return true;
	}
	return false;
}

static size_t u32(const unsigned char *p)
{
	return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* The server's name lists; each is owned. */
static bool read_lists(int fd, char *lists[static 5])
{
	unsigned char head[6], body[16384];
	size_t len, at = COOKIE;
	int64_t deadline = kc_now_ms() + EXPLAIN_MS;

	if (kc_write_all(fd, "SSH-2.0-kubecdn\r\n", 17, NULL) < 0 || !skip_banner(fd, deadline) ||
	    !read_exact(fd, head, sizeof(head), deadline))
		return false;
	len = u32(head);
	if (head[5] != KEXINIT || len < 2 + COOKIE || len - 2 > sizeof(body) ||
	    !read_exact(fd, body, len - 2, deadline))
		return false;
	len -= 2;
	for (int i = 0; i < 5; i++) {
		size_t n;

		if (len - at < 4)
			return false;
		n = u32(body + at);
		at += 4;
		if (n > len - at)
			return false;
		lists[i] = xstrndup((const char *)body + at, n);
		at += n;
	}
	return true;
}

static bool in_list(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
		if (strncmp(p, name, n) == 0 && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

/* What libssh2 would offer, restricted to what we set. */
static char *our_list(struct kc_ssh *s, int method)
{
	const char **algs = NULL;
	int n = libssh2_session_supported_algs(s->session, method, &algs);
	_cleanup_buf_ struct kc_buf b = { 0 };

	for (int i = 0; i < n; i++)
		kc_buf_printf(&b, "%s%s", i ? "," : "", algs[i]);
	if (n > 0)
		libssh2_free(s->session, algs);
	return xstrdup(kc_buf_get(&b));
}

static bool common(const char *ours, const char *theirs)
{
	_cleanup_free_ char *copy = xstrdup(ours);
	char *save = NULL;

	for (char *a = strtok_r(copy, ",", &save); a; a = strtok_r(NULL, ",", &save))
		if (in_list(theirs, a))
			return true;
	return false;
}

int ssh_explain_kex(struct kc_ssh *s, int fd, struct kc_err *err)
{
	_cleanup_free_ char *last = xstrdup(ssh_last(s));
	char *theirs[5] = { NULL };
	bool got = read_lists(fd, theirs);
	int r = KC_EFAIL;

	kc_fail(err, r, "%s: no SSH algorithm in common (%s)", s->name, last);
	for (size_t i = 0; got && i < ARRAY_SIZE(parts); i++) {
		bool host = parts[i].method == LIBSSH2_METHOD_HOSTKEY;
		_cleanup_free_ char *ours =
			host ? xstrdup(s->host_types) : our_list(s, parts[i].method);

		/* Servers name RSA's later signatures; libssh2 before 1.11 has only ssh-rsa. */
		if (common(ours, theirs[parts[i].list]))
			continue;
		kc_fail(err, r, "%s: no %s algorithm in common: we offer %s; the host offers %s%s",
			s->name, parts[i].what, ours, theirs[parts[i].list],
			!host ? ""
			: streq(ours, "ssh-rsa")
				? "; known_hosts has only its RSA key, which needs "
				  "libssh2 1.11: add its ed25519 key there"
				: "; if its keys were replaced, correct known_hosts");
		break;
	}
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		free(theirs[i]);
	return r;
}
