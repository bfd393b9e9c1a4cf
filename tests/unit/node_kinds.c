/* The node's kinds over a directory of their own: files, blobs, links, certificates, sysctls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bootstrap/node/checks.h"
#include "bootstrap/node/kinds.h"
#include "bootstrap/node/probe.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/zstd.h"
#include "lib/crypto/pki.h"

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char top[] = "/tmp/kc-node-XXXXXX";
static char *state_dir, *blobs;
static struct kc_node_host host;
static json_t *secrets, *certs;

static char *at(const char *name)
{
	return xasprintf("%s/%s", top, name);
}

static void open_host(void)
{
	host = (struct kc_node_host){ .state = state_dir,
				      .blobs = blobs,
				      .proc_sys = top,
				      .secrets = secrets,
				      .certs = certs,
				      .writable = true };
	assert_int_equal(kc_host_init(&host, KEY, NULL), 0);
}

static int setup(void **state)
{
	strcpy(top + strlen(top) - 6, "XXXXXX");
	assert_non_null(mkdtemp(top));
	state_dir = at("state");
	blobs = at("blobs");
	mkdir(blobs, 0700);
	secrets = json_object();
	certs = json_object();
	open_host();
	return 0;
}

static int teardown(void **state)
{
	kc_host_done(&host);
	assert_int_equal(kc_rm_rf(top, NULL), 0);
	json_decref(secrets);
	json_decref(certs);
	free(state_dir);
	free(blobs);
	return 0;
}

static json_t *find(const struct kc_kind *k, const json_t *want)
{
	struct kc_task t = { .id = "t", .want = want };
	json_t *actual = NULL;

	assert_int_equal(k->find(&host, &t, &actual, NULL), 0);
	return actual;
}

static int apply(const struct kc_kind *k, const json_t *want, struct kc_err *err)
{
	struct kc_task t = { .id = "t", .want = want };
	json_auto_t *actual = find(k, want), *done = NULL;
	int r = k->apply(&host, &t, actual, NULL, &done, err);

	assert_true(r < 0 ? !done : !!done);
	return r;
}

static void drop(const struct kc_kind *k, const json_t *want)
{
	json_auto_t *actual = find(k, want);
	struct kc_task t = { .id = "t", .known = actual };

	assert_int_equal(k->remove(&host, &t, actual, NULL), 0);
}

static void assert_text(const char *path, const char *text)
{
	_cleanup_free_ char *have = NULL;

	assert_int_equal(kc_file_read(path, 1 << 20, &have, NULL, NULL), 0);
	assert_string_equal(have, text);
}

static void file_comes_and_goes(void **state)
{
	_cleanup_free_ char *path = at("a/b/c"), *a = at("a");
	json_auto_t *want = kc_pack("{s:s, s:s, s:s}", "path", path, "mode", "0640", "content",
				    "text\n"),
		    *none = find(&kc_node_file, want), *actual = NULL;

	assert_null(none);
	umask(077);
	assert_int_equal(apply(&kc_node_file, want, NULL), 0);
	assert_text(path, "text\n");
	actual = find(&kc_node_file, want);
	assert_string_equal(kc_json_get_str(actual, "mode", ""), "0640");
	assert_int_equal(strlen(kc_json_get_str(actual, "rev", "")), 64);
	drop(&kc_node_file, want);
	assert_false(kc_exists(a));
}

/* What its owner had there comes back, also when the agent was killed in between. */
static void file_before_ours(void **state)
{
	_cleanup_free_ char *path = at("motd");
	json_auto_t *want =
		kc_pack("{s:s, s:s, s:s}", "path", path, "mode", "0600", "content", "ours");
	struct stat st;

	assert_int_equal(kc_file_write(path, "theirs", 6, 0644, NULL), 0);
	assert_int_equal(apply(&kc_node_file, want, NULL), 0);
	kc_host_done(&host);
	open_host();
	assert_int_equal(apply(&kc_node_file, want, NULL), 0);
	drop(&kc_node_file, want);
	assert_text(path, "theirs");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void set_secret(const char *name, int version, const char *value)
{
	json_object_set_new(secrets, name,
			    kc_pack("{s:i, s:s}", "version", version, "value", value));
}

static int apply_known(const struct kc_kind *k, const json_t *want, const json_t *known)
{
	struct kc_task t = { .id = "t", .want = want, .known = known };
	json_auto_t *actual = find(k, want), *done = NULL;

	return k->apply(&host, &t, actual, NULL, &done, NULL);
}

/* A process may have started with the wrong content, so the right one is another revision then. */
static void repaired_content_is_another_revision(void **state)
{
	_cleanup_free_ char *path = at("conf");
	json_auto_t *want = kc_pack("{s:s, s:s, s:s}", "path", path, "mode", "0600", "content",
				    "right"),
		    *first = NULL, *second = NULL, *third = NULL;
	const char *rev, *again;

	assert_int_equal(apply(&kc_node_file, want, NULL), 0);
	first = find(&kc_node_file, want);
	rev = kc_json_get_str(first, "rev", "");
	chmod(path, 0666); /* no content: no other revision */
	assert_int_equal(apply_known(&kc_node_file, want, first), 0);
	second = find(&kc_node_file, want);
	assert_string_equal(kc_json_get_str(second, "rev", ""), rev);
	assert_string_equal(kc_json_get_str(second, "mode", ""), "0600");
	assert_int_equal(kc_file_write(path, "wrong", 5, 0600, NULL), 0);
	assert_int_equal(apply_known(&kc_node_file, want, first), 0);
	assert_text(path, "right");
	kc_host_done(&host); /* and it stays so */
	open_host();
	third = find(&kc_node_file, want);
	again = kc_json_get_str(third, "rev", "");
	assert_int_equal(strlen(again), 64);
	assert_string_not_equal(again, rev);
}

static void put_cert(const char *path, const char *cn, long seconds)
{
	_cleanup_free_ char *crt = NULL, *key = NULL;

	assert_int_equal(kc_ca_new(cn, seconds, &crt, &key, NULL), 0);
	assert_int_equal(kc_file_write(path, crt, strlen(crt), 0600, NULL), 0);
}

static void link_leads(const json_t *want, const char *target)
{
	json_auto_t *actual = find(&kc_node_link, want);

	assert_string_equal(kc_json_get_str(actual, "target", ""), target);
}

/* The kubelet's own link stays where the kubelet moved it, but not at what has expired, is gone, or
 * is for another node than the one that it was given. */
static void initial_link_to_a_certificate(void **state)
{
	_cleanup_free_ char *path = at("current"), *other = at("other"), *initial = at("initial");
	json_auto_t *want = kc_pack("{s:s, s:s, s:b, s:b}", "path", path, "target", "initial",
				    "initial", 1, "certificate", 1);

	assert_int_equal(symlink(other, path), 0);
	put_cert(other, "x", 3600);
	link_leads(want, "initial"); /* there is none to compare with */
	put_cert(initial, "x", 3600);
	link_leads(want, "initial");
	put_cert(initial, "y", 3600);
	link_leads(want, other);
	put_cert(initial, "x", 3600);
	put_cert(other, "x", -60);
	link_leads(want, other);
	unlink(other);
	link_leads(want, other);
	unlink(initial);
}

static void secret_is_never_shown(void **state)
{
	_cleanup_free_ char *path = at("key");
	char mac[KC_SHA256_HEX];
	json_auto_t *want = NULL, *actual = NULL, *ref = NULL;
	_cleanup_free_ char *text = NULL;
	struct kc_err err;
	char hex[KC_SHA256_HEX];

	kc_host_hmac(&host, "bytes", 5, mac);
	want = kc_pack("{s:s, s:s, s:{s:s, s:i, s:s}}", "path", path, "mode", "0600", "content",
		       "secret", "sa.key", "version", 3, "hmac", mac);
	assert_int_equal(apply(&kc_node_file, want, &err), KC_ENOTFOUND);
	assert_int_equal(kc_host_secret_ref(&host, "sa.key", &ref, &err), KC_ENOTFOUND);
	set_secret("sa.key", 3, "bytes");
	assert_int_equal(kc_host_secret_ref(&host, "sa.key", &ref, &err), 0);
	assert_true(json_equal(json_object_get(want, "content"), ref));
	assert_int_equal(apply(&kc_node_file, want, NULL), 0);
	assert_text(path, "bytes");
	actual = find(&kc_node_file, want);
	assert_true(json_equal(json_object_get(actual, "content"), ref));
	text = kc_json_text(actual);
	assert_null(strstr(text, "bytes"));
	kc_sha256("bytes", 5, hex);
	assert_null(strstr(text, hex)); /* a plain hash could be guessed */
}

/* A version that took another's place is a change, and find says which one lies there. */
static void secret_has_a_version(void **state)
{
	_cleanup_free_ char *path = at("key");
	json_auto_t *want = kc_pack("{s:s, s:s}", "path", path, "mode", "0600"), *first = NULL,
		    *second = NULL, *third = NULL;
	struct kc_task t = { .id = "t", .want = want };
	json_t *ref = NULL;

	set_secret("sa.key", 1, "bytes");
	assert_int_equal(kc_host_secret_ref(&host, "sa.key", &ref, NULL), 0);
	json_object_set_new(want, "content", ref);
	assert_int_equal(apply(&kc_node_file, want, NULL), 0);
	first = find(&kc_node_file, want);
	assert_true(json_equal(json_object_get(first, "content"), ref));

	set_secret("sa.key", 2, "other");
	assert_int_equal(kc_host_secret_ref(&host, "sa.key", &ref, NULL), 0);
	json_object_set_new(want, "content", ref);
	t.known = first; /* as the record has it */
	assert_int_equal(kc_node_file.find(&host, &t, &second, NULL), 0);
	assert_int_equal(kc_json_get_int(json_object_get(second, "content"), "version", 0), 1);
	assert_int_equal(kc_file_write(path, "drift", 5, 0600, NULL), 0);
	assert_int_equal(kc_node_file.find(&host, &t, &third, NULL), 0);
	assert_null(json_object_get(json_object_get(third, "content"), "version"));
}

/* Two operators' keys tell nothing to each other; without one, not even two runs do. */
static void hmacs_are_the_operators(void **state)
{
	struct kc_node_host a = { .state = state_dir }, b = { .state = state_dir };
	char here[KC_SHA256_HEX], there[KC_SHA256_HEX];

	assert_int_equal(kc_host_init(&a, KEY, NULL), 0);
	assert_int_equal(kc_host_init(&b, NULL, NULL), 0);
	kc_host_hmac(&a, "bytes", 5, here);
	kc_host_hmac(&host, "bytes", 5, there);
	assert_string_equal(here, there);
	kc_host_hmac(&b, "bytes", 5, there);
	assert_string_not_equal(here, there);
	kc_host_done(&b);
	b = (struct kc_node_host){ .state = state_dir };
	assert_int_equal(kc_host_init(&b, NULL, NULL), 0);
	kc_host_hmac(&b, "bytes", 5, here);
	assert_string_not_equal(here, there);
	kc_host_done(&a);
	kc_host_done(&b);
}

static json_t *pack_blob(const char *content, const char *path)
{
	_cleanup_free_ char *raw = at("raw"), *packed = at("packed"), *to = NULL;
	char sha[KC_SHA256_HEX], blob[KC_SHA256_HEX];

	assert_int_equal(kc_file_write(raw, content, strlen(content), 0600, NULL), 0);
	assert_int_equal(kc_zstd_compress_file(raw, packed, 3, NULL, NULL), 0);
	assert_int_equal(kc_sha256_file(raw, sha, NULL, NULL), 0);
	assert_int_equal(kc_sha256_file(packed, blob, NULL, NULL), 0);
	to = xasprintf("%s/%s", blobs, blob);
	assert_int_equal(rename(packed, to), 0);
	return kc_pack("{s:s, s:s, s:I, s:s, s:s}", "path", path, "sha256", sha, "size",
		       (json_int_t)strlen(content), "mode", "0755", "blob", blob);
}

static bool blob_needed(const json_t *want)
{
	struct kc_task t = { .id = "blob", .want = want };
	json_auto_t *actual = NULL;

	return kc_node_blob.find(&host, &t, &actual, NULL) < 0 || !actual ||
	       !json_equal(json_object_get(want, "sha256"), json_object_get(actual, "sha256"));
}

static void blob_by_content(void **state)
{
	_cleanup_free_ char *path = at("bin/x");
	json_auto_t *want = pack_blob("program", path), *small = json_deep_copy(want),
		    *other = json_deep_copy(want);
	struct kc_err err;

	json_object_set_new(small, "size", json_integer(3));
	assert_int_equal(apply(&kc_node_blob, small, &err), KC_EINVAL);
	json_object_set_new(other, "sha256", json_string(kc_json_get_str(want, "blob", "")));
	assert_int_equal(apply(&kc_node_blob, other, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "other content"));
	assert_false(kc_exists(path));

	assert_true(blob_needed(want));
	assert_int_equal(apply(&kc_node_blob, want, NULL), 0);
	assert_text(path, "program");
	assert_false(blob_needed(want));
	assert_int_equal(kc_file_write(path, "PROGRAM", 7, 0755, NULL), 0);
	assert_true(blob_needed(want));
	drop(&kc_node_blob, want);
	assert_false(kc_exists(path));
}

/* The cache holds over processes, and --deep does not believe it. */
static void stat_cache(void **state)
{
	_cleanup_free_ char *path = at("x"), *cache = at("state/stat.json"), *text = NULL;
	json_auto_t *want = pack_blob("program", path), *lie = NULL;
	json_t *entry;

	assert_int_equal(apply(&kc_node_blob, want, NULL), 0);
	assert_int_equal(kc_host_save(&host, NULL), 0);
	kc_host_done(&host);
	assert_int_equal(kc_file_read(cache, 1 << 20, &text, NULL, NULL), 0);
	assert_int_equal(kc_json_parse(text, strlen(text), "x", &lie, NULL), 0);
	entry = json_object_get(lie, path);
	assert_non_null(entry);
	json_object_set_new(entry, "sha256", json_string(kc_json_get_str(want, "blob", "")));
	free(TAKE(text));
	text = kc_json_text(lie);
	assert_int_equal(kc_file_write(cache, text, strlen(text), 0600, NULL), 0);
	open_host();
	assert_true(blob_needed(want)); /* the lie was believed: no hashing */
	host.deep = true;
	assert_false(blob_needed(want));
}

static void link_initial_is_the_owners(void **state)
{
	_cleanup_free_ char *path = at("l");
	json_auto_t *want = kc_pack("{s:s, s:s, s:b}", "path", path, "target", "one", "initial", 1),
		    *strict =
			    kc_pack("{s:s, s:s, s:b}", "path", path, "target", "one", "initial", 0),
		    *a = NULL, *b = NULL;

	assert_int_equal(apply(&kc_node_link, want, NULL), 0);
	unlink(path);
	assert_int_equal(symlink("two", path), 0);
	a = find(&kc_node_link, want);
	assert_string_equal(kc_json_get_str(a, "target", ""), "one");
	b = find(&kc_node_link, strict);
	assert_string_equal(kc_json_get_str(b, "target", ""), "two");
}

/* What one call hashed the next one need not, in this boot and while the file is the same. */
static void hashes_are_handed_on(void **state)
{
	_cleanup_free_ char *path = at("program");
	json_auto_t *stats = NULL, *old = NULL;
	char hex[KC_SHA256_HEX], lie[KC_SHA256_HEX];
	struct stat st;

	memset(lie, 'a', sizeof(lie) - 1);
	lie[sizeof(lie) - 1] = '\0';
	assert_int_equal(kc_file_write(path, "x", 1, 0755, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(kc_host_hash(&host, path, &st, hex, NULL), 0);
	stats = kc_host_stats(&host);
	json_object_set_new(json_object_get(stats, path), "sha256", json_string(lie));
	old = json_deep_copy(stats);
	json_object_set_new(old, "boot", json_string("another"));
	kc_host_done(&host);
	open_host();
	kc_host_recall(&host, old);
	assert_int_equal(kc_host_hash(&host, path, &st, hex, NULL), 0);
	assert_string_not_equal(hex, lie);
	kc_host_recall(&host, stats);
	assert_int_equal(kc_host_hash(&host, path, &st, hex, NULL), 0);
	assert_string_equal(hex, lie); /* not hashed: what was handed on was believed */
	assert_int_equal(kc_file_write(path, "yy", 2, 0755, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(kc_host_hash(&host, path, &st, hex, NULL), 0);
	assert_string_not_equal(hex, lie);
}

static void sysctl_remembers(void **state)
{
	_cleanup_free_ char *dir = at("net"), *path = at("net/x");
	json_auto_t *want = kc_pack("{s:s, s:s}", "key", "net.x", "value", "1"), *none = NULL;
	struct kc_err err;

	none = find(&kc_node_sysctl, want);
	assert_null(none);
	assert_true(apply(&kc_node_sysctl, want, &err) < 0);
	mkdir(dir, 0755);
	assert_int_equal(kc_file_write(path, "7\n", 2, 0644, NULL), 0);
	assert_int_equal(apply(&kc_node_sysctl, want, NULL), 0);
	assert_int_equal(apply(&kc_node_sysctl, want, NULL), 0);
	drop(&kc_node_sysctl, want);
	/* Written in place, as a sysctl is. */
	assert_text(path, "7\n");
}

/* A limit that is higher already is left alone, also by the removal. */
static void sysctl_at_least(void **state)
{
	_cleanup_free_ char *dir = at("net"), *path = at("net/limit");
	json_auto_t *want = kc_pack("{s:s, s:s, s:b}", "key", "net.limit", "value", "8192",
				    "orMore", 1),
		    *have = NULL;

	mkdir(dir, 0755);
	assert_int_equal(kc_file_write(path, "65536\n", 6, 0644, NULL), 0);
	have = find(&kc_node_sysctl, want);
	assert_true(json_equal(have, want));
	assert_int_equal(kc_file_write(path, "1000\n", 5, 0644, NULL), 0);
	assert_int_equal(apply(&kc_node_sysctl, want, NULL), 0);
	drop(&kc_node_sysctl, want);
	assert_text(path, "1000\n");
}

static void issue(const char *ca, const char *ca_key, const char *csr, const char *cn)
{
	const char *const sans[] = { "n1", "192.0.2.1", NULL }, *const orgs[] = { "o", NULL };
	struct kc_cert_spec spec = {
		.cn = cn, .orgs = orgs, .sans = sans, .uses = KC_USE_SERVER, .seconds = 3600
	};
	_cleanup_free_ char *pem = NULL;

	assert_int_equal(kc_cert_issue(ca, ca_key, csr, &spec, &pem, NULL), 0);
	json_object_set_new(certs, "t", json_string(pem));
}

static void cert_life(void **state)
{
	_cleanup_free_ char *cert = at("pki/x.crt"), *key = at("pki/x.key"), *csr = NULL,
			    *again = NULL, *ca = NULL, *ca_key = NULL, *ca2 = NULL, *key2 = NULL;
	json_auto_t *want =
		kc_pack("{s:s, s:s, s:s, s:[s], s:[s, s], s:[s], s:s, s:i, s:b}", "cert", cert,
			"key", key, "cn", "c", "orgs", "o", "sans", "192.0.2.1", "n1", "uses",
			"server", "ca", "ca", "seconds", 3600, "combined", 0);
	struct stat st;
	struct kc_err err;

	assert_int_equal(kc_ca_new("ca", 86400, &ca, &ca_key, NULL), 0);
	set_secret("pki/ca.crt", 1, ca);
	assert_int_equal(apply(&kc_node_cert, want, &err), KC_EAUTH);
	assert_int_equal(kc_node_cert_csr(&host, "t", want, &csr, NULL), 0);
	assert_non_null(csr);
	issue(ca, ca_key, csr, "another");
	assert_int_equal(apply(&kc_node_cert, want, &err), KC_EAUTH);
	assert_non_null(strstr(err.msg, "another cn"));
	issue(ca, ca_key, csr, "c");
	assert_int_equal(apply(&kc_node_cert, want, NULL), 0);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(kc_node_cert_csr(&host, "t", want, &again, NULL), 0);
	assert_null(again);

	/* Another name, another CA: to be issued again. */
	json_array_append_new(json_object_get(want, "sans"), json_string("n2"));
	assert_int_equal(kc_node_cert_csr(&host, "t", want, &again, NULL), 0);
	assert_non_null(again);
	free(TAKE(again));
	json_array_remove(json_object_get(want, "sans"), 2);
	assert_int_equal(kc_ca_new("ca", 86400, &ca2, &key2, NULL), 0);
	set_secret("pki/ca.crt", 2, ca2);
	assert_int_equal(kc_node_cert_csr(&host, "t", want, &again, NULL), 0);
	assert_non_null(again);
	drop(&kc_node_cert, want);
	assert_false(kc_exists(key));
}

static void checks_say_why(void **state)
{
	json_auto_t *checks = kc_pack("[{s:s, s:s}, {s:s, s:s, s:i}, {s:s, s:s}, {s:s, s:s, s:s}]",
				      "id", "swap", "check", "swap", "id", "memory", "check",
				      "min-memory", "mib", 1000, "id", "x", "check", "moon", "id",
				      "p", "check", "program", "name", "no-such-program"),
		    *facts = kc_pack("{s:i, s:i}", "swapMiB", 5, "memoryMiB", 1000),
		    *results = kc_node_checks(checks, facts, "uid", NULL);
	static const bool ok[] = { false, true, false, false };

	assert_int_equal(json_array_size(results), 4);
	for (size_t i = 0; i < 4; i++) {
		const json_t *c = json_array_get(results, i);

		assert_int_equal(kc_json_get_bool(c, "ok", !ok[i]), ok[i]);
		assert_int_equal(*kc_json_get_str(c, "why", "") != '\0', !ok[i]);
		assert_int_equal(*kc_json_get_str(c, "fix", "") != '\0', !ok[i]);
	}
}

static void probes(void **state)
{
	_cleanup_free_ char *path = at("ready");
	json_auto_t *file = kc_pack("{s:s}", "file", path), *bad = kc_pack("{s:s}", "x", "y"),
		    *tcp = kc_pack("{s:s}", "tcp", "127.0.0.1:1"),
		    *name = kc_pack("{s:s}", "tcp", "localhost:1");
	struct kc_err err;

	assert_int_equal(kc_node_probe(file, &err), KC_EAGAIN);
	assert_int_equal(kc_file_write(path, "", 0, 0600, NULL), 0);
	assert_int_equal(kc_node_probe(file, &err), 0);
	assert_int_equal(kc_node_probe(tcp, &err), KC_EAGAIN);
	assert_int_equal(kc_node_probe(name, &err), KC_EINVAL);
	assert_int_equal(kc_node_probe(bad, &err), KC_EINVAL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(file_comes_and_goes),
		T(file_before_ours),
		T(repaired_content_is_another_revision),
		T(initial_link_to_a_certificate),
		T(secret_is_never_shown),
		T(secret_has_a_version),
		T(hmacs_are_the_operators),
		T(blob_by_content),
		T(stat_cache),
		T(link_initial_is_the_owners),
		T(hashes_are_handed_on),
		T(sysctl_remembers),
		T(sysctl_at_least),
		T(cert_life),
		T(checks_say_why),
		T(probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
