/* What single values of a Cluster manifest may look like. */
#include <ctype.h>
#include <string.h>
#include <sys/socket.h>

#include "bootstrap/schema_priv.h"
#include "lib/base/addr.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

int kc_check_name(const char *s, struct kc_err *err)
{
	if (kc_is_dns_label(s))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a name (RFC 1123); use lower-case letters, digits and "
		       "'-', at "
		       "most 63, beginning and ending with a letter or digit",
		       s);
}

/* The part of a label behind the slash, and a label's value: apimachinery's qualified name. */
static bool is_label_word(const char *s, size_t n)
{
	if (n == 0 || n > 63 || strspn(s, ALNUM "-_.") < n)
		return false;
	return isalnum((unsigned char)s[0]) && isalnum((unsigned char)s[n - 1]);
}

static bool is_label_key(const char *s, size_t n)
{
	const char *slash = memchr(s, '/', n);
	_cleanup_free_ char *prefix = NULL;

	if (!slash)
		return is_label_word(s, n);
	prefix = xstrndup(s, (size_t)(slash - s));
	return kc_is_dns_name(prefix) && is_label_word(slash + 1, n - (size_t)(slash + 1 - s));
}

int kc_check_label_key(const char *s, struct kc_err *err)
{
	if (kc_startswith(s, "node-role.kubernetes.io/") || streq(s, "kubernetes.io/hostname"))
		return kc_fail(err, KC_EINVAL,
			       "the label \"%.80s\" is set by kubecdn itself; remove it", s);
	if (is_label_key(s, strlen(s)))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a label key; use name or prefix.example.com/name, at most "
		       "63 "
		       "letters, digits, '-', '_' and '.'",
		       s);
}

int kc_check_label_value(const char *s, struct kc_err *err)
{
	if (!*s || is_label_word(s, strlen(s)))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a label value; use at most 63 letters, digits, '-', '_' "
		       "and "
		       "'.', beginning and ending with a letter or digit",
		       s);
}

static bool is_effect(const char *s)
{
	return streq(s, "NoSchedule") || streq(s, "PreferNoSchedule") || streq(s, "NoExecute");
}

int kc_check_taint(const char *s, struct kc_err *err)
{
	const char *colon = strrchr(s, ':');
	size_t head = colon ? (size_t)(colon - s) : 0, key = strcspn(s, "=:");
	size_t value = head > key ? head - key - 1 : 0;

	if (colon && is_effect(colon + 1) && is_label_key(s, key) &&
	    (key == head || s[key] == '=') && (value == 0 || is_label_word(s + key + 1, value)))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a taint; use key=value:Effect or key:Effect with Effect "
		       "NoSchedule, PreferNoSchedule or NoExecute",
		       s);
}

int kc_check_version(const char *s, struct kc_err *err)
{
	const char *p = s;

	for (int part = 0; part < 3; part++) {
		size_t n = strspn(p, "0123456789");

		if (n == 0 || n > 4 || p[n] != (part < 2 ? '.' : '\0'))
			return kc_fail(err, KC_EINVAL,
				       "\"%.40s\" is not a version; write all three parts without "
				       "a "
				       "\"v\", as in 1.37.2",
				       s);
		p += n + 1;
	}
	return 0;
}

static int no_ipv6(const char *s, struct kc_err *err)
{
	return kc_fail(err, KC_EINVAL, "%.60s: IPv6 is not supported by this version yet; use IPv4",
		       s);
}

/* An address a node can have: no loopback, no multicast, not "this network". */
int kc_check_address(const char *s, struct kc_err *err)
{
	struct kc_addr a;

	if (!kc_addr_parse(s, &a))
		return kc_fail(err, KC_EINVAL,
			       "\"%.80s\" is not an address; use one like 192.0.2.11", s);
	if (a.family == AF_INET6)
		return no_ipv6(s, err);
	if (a.bytes[0] == 0 || a.bytes[0] == 127 || a.bytes[0] >= 224)
		return kc_fail(err, KC_EINVAL,
			       "%s cannot be a node's address; use one that the other nodes reach",
			       s);
	return 0;
}

int kc_check_cidr(const char *s, struct kc_err *err)
{
	size_t n = strcspn(s, "/");
	_cleanup_free_ char *addr = xstrndup(s, n);
	struct kc_addr a;
	struct kc_cidr c;
	long prefix;

	if (!kc_addr_parse(addr, &a) || s[n] != '/' ||
	    !kc_parse_long(s + n + 1, 0, a.family == AF_INET ? 32 : 128, &prefix))
		return kc_fail(err, KC_EINVAL,
			       "\"%.80s\" is not a CIDR block; use one like 10.244.0.0/16", s);
	if (a.family == AF_INET6)
		return no_ipv6(s, err);
	if (!kc_cidr_parse(s, &c)) {
		char base[KC_ADDR_STRLEN];

		for (int i = (int)prefix; i < 32; i++)
			a.bytes[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
		kc_addr_format(&a, base);
		return kc_fail(err, KC_EINVAL, "%s has host bits set; the block is %s/%ld", s, base,
			       prefix);
	}
	return 0;
}

static bool is_host(const char *s)
{
	struct kc_addr a;

	return kc_addr_parse(s, &a) || kc_is_dns_name(s);
}

/* host or host:port; the port of "[v6]:port" is not needed as long as IPv6 is refused. */
static bool is_host_port(const char *s)
{
	const char *colon = strchr(s, ':');
	_cleanup_free_ char *host = NULL;
	long port;

	if (!colon)
		return is_host(s);
	host = xstrndup(s, (size_t)(colon - s));
	return is_host(host) && kc_parse_long(colon + 1, 1, 65535, &port);
}

int kc_check_endpoint(const char *s, struct kc_err *err)
{
	struct kc_addr a;

	if (kc_addr_parse(s, &a) && a.family == AF_INET6)
		return no_ipv6(s, err);
	if (!*s || is_host_port(s))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not an endpoint; use a DNS name or address, with :PORT if it "
		       "is "
		       "not 6443",
		       s);
}

int kc_check_san(const char *s, struct kc_err *err)
{
	if (is_host(s))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is neither a DNS name nor an address; certificates hold only "
		       "those",
		       s);
}

/* Text that ends up as an argument of a program or in its configuration. */
static bool is_plain(const char *s, const char *extra)
{
	if (*s == '-')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(extra, *s))
			return false;
	return true;
}

int kc_check_ssh_host(const char *s, struct kc_err *err)
{
	if (is_plain(s, "-_.:"))
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is not a host; use a DNS name or an address", s);
}

int kc_check_ssh_user(const char *s, struct kc_err *err)
{
	if (*s && is_plain(s, "-_.@\\"))
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is not a user name; use one like root", s);
}

int kc_check_ssh_path(const char *s, struct kc_err *err)
{
	if (*s == '/' || kc_startswith(s, "~/") || !*s)
		return 0;
	if (strstr(s, "PRIVATE KEY"))
		return kc_fail(err, KC_EINVAL,
			       "this is a key, not a file; save it in a file and name that");
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is not an absolute path; begin with / or ~/", s);
}

int kc_check_host_key(const char *s, struct kc_err *err)
{
	static const char *const types[] = { "ssh-ed25519 ", "ecdsa-sha2-nistp256 ",
					     "ecdsa-sha2-nistp384 ", "ecdsa-sha2-nistp521 ",
					     "ssh-rsa " };

	if (!*s)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const char *key = s + strlen(types[i]);

		if (kc_startswith(s, types[i]) && strlen(key) >= 16 &&
		    key[strspn(key, ALNUM "+/=")] == '\0')
			return 0;
	}
	return kc_fail(err, KC_EINVAL,
		       "this is not a host key; give \"TYPE BASE64\" as in the host's "
		       "/etc/ssh/ssh_host_ed25519_key.pub, without the comment");
}

/* [user@]host[:port] */
int kc_check_bastion(const char *s, struct kc_err *err)
{
	const char *at = strrchr(s, '@');
	_cleanup_free_ char *user = at ? xstrndup(s, (size_t)(at - s)) : xstrdup("root");

	if (!*s || (*user && is_plain(user, "-_.@\\") && is_host_port(at ? at + 1 : s)))
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is not a bastion; use USER@HOST:PORT", s);
}

int kc_check_interface(const char *s, struct kc_err *err)
{
	if (strlen(s) < 16 && is_plain(s, "-_.@"))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not an interface; use at most 15 letters, as in eth1", s);
}

/* Names of other people's things: machine types, zones, images, regions. */
int kc_check_word(const char *s, struct kc_err *err)
{
	if (strlen(s) <= 255 && is_plain(s, "-_./:"))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a name; use letters, digits and -_./: without spaces", s);
}

int kc_check_disk(const char *s, struct kc_err *err)
{
	size_t n = strspn(s, "0123456789");

	if (n > 0 && n <= 6 && *s != '0' && (streq(s + n, "Gi") || streq(s + n, "Ti")))
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is not a disk size; use one like 50Gi or 1Ti", s);
}

int kc_check_registry(const char *s, struct kc_err *err)
{
	if (is_host_port(s))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a registry; use its host, as in docker.io or "
		       "registry.example.com:5000",
		       s);
}

/* http(s)://host[:port][/path], without credentials: the manifest is no place for secrets. */
static int check_url(const char *s, bool path_allowed, struct kc_err *err)
{
	const char *host = NULL;
	_cleanup_free_ char *authority = NULL;

	if (kc_startswith(s, "http://"))
		host = s + strlen("http://");
	else if (kc_startswith(s, "https://"))
		host = s + strlen("https://");
	if (!host)
		return kc_fail(err, KC_EINVAL,
			       "\"%.80s\" is not a URL; begin with http:// or https://", s);
	authority = xstrndup(host, strcspn(host, "/"));
	if (strchr(authority, '@'))
		return kc_fail(err, KC_EINVAL,
			       "the URL carries credentials; a manifest must not hold secrets, "
			       "remove them");
	if (!is_host_port(authority) || strpbrk(s, " \"'<>\\?#"))
		return kc_fail(err, KC_EINVAL,
			       "\"%.80s\" is not a URL; use https://host:port and a plain path", s);
	if (!path_allowed && host[strcspn(host, "/")] && !streq(host + strcspn(host, "/"), "/"))
		return kc_fail(err, KC_EINVAL, "\"%.80s\" has a path; use http://host:port", s);
	return 0;
}

int kc_check_url(const char *s, struct kc_err *err)
{
	return check_url(s, true, err);
}

int kc_check_proxy(const char *s, struct kc_err *err)
{
	return *s ? check_url(s, false, err) : 0;
}

int kc_check_no_proxy(const char *s, struct kc_err *err)
{
	struct kc_cidr c;

	if (is_host_port(*s == '.' ? s + 1 : s) || kc_cidr_parse(s, &c))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is no exception a proxy knows; use a name, .suffix, address or "
		       "CIDR "
		       "block",
		       s);
}

int kc_check_ca(const char *s, struct kc_err *err)
{
	if (strstr(s, "PRIVATE KEY"))
		return kc_fail(err, KC_EINVAL,
			       "contains a private key; give the certificate alone");
	if (kc_startswith(s, "-----BEGIN CERTIFICATE-----\n") &&
	    strstr(s, "\n-----END CERTIFICATE-----"))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "is not a PEM certificate; paste it under \"- |\" with its BEGIN and END "
		       "lines");
}

int kc_check_arg_name(const char *s, struct kc_err *err)
{
	const char *plain = s + strspn(s, "-");

	if (plain != s)
		return kc_fail(err, KC_EINVAL, "write the argument \"%.60s\" without dashes: %.60s",
			       s, plain);
	return 0;
}
