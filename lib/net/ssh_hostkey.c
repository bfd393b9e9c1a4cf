/* Whom are we talking to? known_hosts or a pinned key decide, before any login. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/crypto/hash.h"
#include "lib/net/ssh_impl.h"

static const struct key_type {
	const char *name;
	int mask; /* known_hosts */
	int type; /* session */
} types[] = {
	{ "ssh-ed25519", LIBSSH2_KNOWNHOST_KEY_ED25519, LIBSSH2_HOSTKEY_TYPE_ED25519 },
	{ "ecdsa-sha2-nistp256", LIBSSH2_KNOWNHOST_KEY_ECDSA_256, LIBSSH2_HOSTKEY_TYPE_ECDSA_256 },
	{ "ecdsa-sha2-nistp384", LIBSSH2_KNOWNHOST_KEY_ECDSA_384, LIBSSH2_HOSTKEY_TYPE_ECDSA_384 },
	{ "ecdsa-sha2-nistp521", LIBSSH2_KNOWNHOST_KEY_ECDSA_521, LIBSSH2_HOSTKEY_TYPE_ECDSA_521 },
	{ "ssh-rsa", LIBSSH2_KNOWNHOST_KEY_SSHRSA, LIBSSH2_HOSTKEY_TYPE_RSA },
};
enum { RSA = ARRAY_SIZE(types) - 1 };

#define BY_NAME_BASE64 (LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_BASE64)

static char *known_hosts_path(const struct kc_ssh_target *t)
{
	return t->known_hosts ? kc_expand_home(t->known_hosts)
			      : kc_expand_home("~/.ssh/known_hosts");
}

/* libssh2 stops at the first line it does not know (@cert-authority, new types): skip those. */
static int load(struct kc_ssh *s, const char *path, LIBSSH2_KNOWNHOSTS **ret, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	LIBSSH2_KNOWNHOSTS *hosts;
	char *save = NULL;
	int r;

	if (kc_exists(path)) {
		r = kc_file_read(path, 16u << 20, &text, NULL, err);
		if (r < 0)
			return r;
	}
	hosts = libssh2_knownhost_init(s->session);
	if (!hosts)
		abort();
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		if (*l != '@' && *l != '#')
			libssh2_knownhost_readline(hosts, l, strlen(l),
						   LIBSSH2_KNOWNHOST_FILE_OPENSSH);
	*ret = hosts;
	return 0;
}

static int look_up(struct kc_ssh *s, LIBSSH2_KNOWNHOSTS *hosts, const char *key, int mask,
		   char **ret_known)
{
	struct libssh2_knownhost *k = NULL;
	int rc;

	/* Port 22 is written without a port; passing it would ask for "[host]:22" as well. */
	rc = libssh2_knownhost_checkp(hosts, s->host, s->port == 22 ? -1 : s->port, key,
				      strlen(key), BY_NAME_BASE64 | mask, &k);
	if (rc == LIBSSH2_KNOWNHOST_CHECK_MISMATCH && ret_known && k && k->key)
		*ret_known = xstrdup(k->key);
	return rc;
}

/*
 * Ask the server only for key types that we know of this host: otherwise a man in the middle
 * could show a key of another type and pass for a host that was never seen.
 */
int ssh_hostkey_prepare(struct kc_ssh *s, const struct kc_ssh_target *t, struct kc_err *err)
{
	_cleanup_free_ char *path = known_hosts_path(t);
	_cleanup_buf_ struct kc_buf pref = { 0 };
	LIBSSH2_KNOWNHOSTS *hosts = NULL;
	int r;

	if (t->host_key) {
		kc_buf_putn(&pref, t->host_key, strcspn(t->host_key, " "));
	} else {
		r = load(s, path, &hosts, err);
		if (r < 0)
			return kc_wrap(err, "%s", s->name);
		/* A key that is nobody's: "mismatch" means that a key of this type is known. */
		for (size_t i = 0; i < ARRAY_SIZE(types); i++)
			if (look_up(s, hosts, "AAAA", types[i].mask, NULL) ==
			    LIBSSH2_KNOWNHOST_CHECK_MISMATCH)
				kc_buf_printf(&pref, "%s%s", pref.len ? "," : "", types[i].name);
		libssh2_knownhost_free(hosts);
		for (size_t i = 0; !pref.len && i < RSA; i++)
			kc_buf_printf(&pref, "%s%s", i ? "," : "", types[i].name);
	}
	if (libssh2_session_method_pref(s->session, LIBSSH2_METHOD_HOSTKEY, kc_buf_get(&pref)))
		return kc_fail(err, KC_EINVAL,
			       "%s: host key type \"%s\" is not one that we speak (ssh-ed25519, "
			       "ecdsa-sha2-nistp256, -384, -521, ssh-rsa)",
			       s->name, kc_buf_get(&pref));
	s->host_types = kc_buf_steal(&pref);
	return 0;
}

/* "SHA256:…" as ssh-keygen -l shows it. */
static char *fingerprint(const void *blob, size_t len)
{
	char hex[KC_SHA256_HEX], *text;
	unsigned char raw[32];
	unsigned byte = 0;

	kc_sha256(blob, len, hex);
	for (size_t i = 0; i < sizeof(raw); i++) {
		sscanf(hex + 2 * i, "%2x", &byte);
		raw[i] = (unsigned char)byte;
	}
	text = kc_base64_encode(raw, sizeof(raw));
	text[strcspn(text, "=")] = 0;
	return text;
}

static char *fingerprint64(const char *base64)
{
	_cleanup_free_ unsigned char *blob = NULL;
	size_t len;

	if (kc_base64_decode(base64, &blob, &len, NULL) < 0)
		return xstrdup("(malformed)");
	return fingerprint(blob, len);
}

static int changed(struct kc_ssh *s, const char *type, const char *key, const char *known,
		   const char *where, struct kc_err *err)
{
	_cleanup_free_ char *now = fingerprint64(key), *then = fingerprint64(known);

	return kc_fail(err, KC_EAUTH,
		       "%s: THE HOST KEY CHANGED: %s has SHA256:%s, the host shows %s SHA256:%s; "
		       "if "
		       "the host was reinstalled, remove the old key there, otherwise somebody is "
		       "listening",
		       s->name, where, then, type, now);
}

/* An editor may have left the last line without its end. */
static bool ends_in_newline(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char last;

	return fd < 0 || lseek(fd, -1, SEEK_END) < 0 || read(fd, &last, 1) != 1 || last == '\n';
}

static int pin(struct kc_ssh *s, const char *path, struct kc_err *err)
{
	_cleanup_free_ char *line = NULL, *dir = xstrdup(path);
	_cleanup_close_ int fd = -1;
	char *slash = strrchr(dir, '/');
	const char *start;
	int r;

	if (slash && slash != dir) {
		*slash = 0;
		r = kc_mkdir_p(dir, 0700, err);
		if (r < 0)
			return r;
	}
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return kc_fail_errno(err, errno, "%s: pinning the host key in %s", s->name, path);
	flock(fd, LOCK_EX); /* whole lines, whoever else pins right now */
	start = ends_in_newline(path) ? "" : "\n";
	line = s->port == 22 ? xasprintf("%s%s %s\n", start, s->host, s->host_key)
			     : xasprintf("%s[%s]:%d %s\n", start, s->host, s->port, s->host_key);
	return kc_write_all(fd, line, strlen(line), err);
}

static int check_known(struct kc_ssh *s, const struct kc_ssh_target *t, const struct key_type *type,
		       const char *key, struct kc_err *err)
{
	_cleanup_free_ char *path = known_hosts_path(t), *known = NULL, *print = NULL;
	LIBSSH2_KNOWNHOSTS *hosts = NULL;
	int r, rc;

	r = load(s, path, &hosts, err);
	if (r < 0)
		return r;
	rc = look_up(s, hosts, key, type->mask, &known);
	libssh2_knownhost_free(hosts);
	switch (rc) {
	case LIBSSH2_KNOWNHOST_CHECK_MATCH:
		return 0;
	case LIBSSH2_KNOWNHOST_CHECK_MISMATCH:
		return changed(s, type->name, key, known ? known : "", path, err);
	case LIBSSH2_KNOWNHOST_CHECK_NOTFOUND:
		if (t->accept_new)
			return pin(s, path, err);
		print = fingerprint64(key);
		return kc_fail(err, KC_EAUTH,
			       "%s: unknown host key %s SHA256:%s; compare it with the host's own, "
			       "then use --accept-new-host-keys or add it to %s",
			       s->name, type->name, print, path);
	default:
		return kc_fail(err, KC_EFAIL, "%s: cannot check the host key: %s", s->name,
			       ssh_last(s));
	}
}

int ssh_hostkey_check(struct kc_ssh *s, const struct kc_ssh_target *t, struct kc_err *err)
{
	_cleanup_free_ char *key = NULL, *pinned = NULL;
	const struct key_type *type = NULL;
	const char *blob, *rest;
	size_t len;
	int code;

	blob = libssh2_session_hostkey(s->session, &len, &code);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].type == code)
			type = &types[i];
	if (!blob || !type)
		return kc_fail(err, KC_EAUTH, "%s: the host shows no key of a known type", s->name);
	key = kc_base64_encode(blob, len);
	s->host_key = xasprintf("%s %s", type->name, key);
	if (!t->host_key)
		return check_known(s, t, type, key, err);

	rest = strchr(t->host_key, ' ');
	if (!rest)
		return kc_fail(err, KC_EINVAL, "%s: hostKey must be \"TYPE BASE64\"", s->name);
	rest += strspn(rest, " ");
	pinned = xstrndup(rest, strcspn(rest, " \n"));
	if (!streq(pinned, key))
		return changed(s, type->name, key, pinned, "hostKey", err);
	return 0;
}
