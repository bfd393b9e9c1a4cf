/*
 * --from upstream: the projects' own releases instead of our compilation.
 *
 *	section upstream --> URL --expected()--> SHA-256 --kc_fetch_do--> cache/upstream/<SHA-256>
 *	                     --take()--> the program, or the one in an archive --> a blob
 *
 * What a file must be is known before it is fetched, from the first of: the pins built in; the
 * sources of an earlier bundle.json (--pins); the checksum that the project publishes beside it,
 * which a server that was broken into would replace, too. bundle.json says which it was.
 */
#include "bootstrap/bundle/upstream.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/archive.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"
#include "lib/net/registry.h"

struct kc_upstream {
	struct kc_parts *p;
	struct kc_fetch *f;
	json_t *doc;   /* section upstream of components.yaml, or what --sources has */
	json_t *given; /* {URL: SHA-256} of --pins; NULL: not used */
	char *given_path;
	char *cache;
	json_t *sources; /* what was used, for bundle.json */
};

void kc_upstream_close(struct kc_upstream *u)
{
	if (!u)
		return;
	kc_fetch_free(u->f);
	json_decref(u->doc);
	json_decref(u->given);
	json_decref(u->sources);
	free(u->given_path);
	free(u->cache);
	free(u);
}

/* The sources of an earlier bundle.json. */
static int read_given(struct kc_upstream *u, const char *path, struct kc_err *err)
{
	_cleanup_free_ char *file = kc_expand_home(path), *text = NULL;
	json_auto_t *doc = NULL;
	const json_t *sources, *s;
	const char *url, *sha256;
	size_t len, i;
	int r = kc_file_read(file, KC_BUNDLE_JSON_MAX, &text, &len, err);

	if (r == 0)
		r = kc_json_parse(text, len, file, &doc, err);
	if (r == 0)
		r = kc_json_arr(doc, file, "sources", &sources, err);
	if (r < 0)
		return r;
	u->given = json_object();
	u->given_path = xstrdup(path);
	json_array_foreach(sources, i, s) {
		r = kc_json_str(s, file, "url", &url, err);
		if (r == 0)
			r = kc_json_str(s, file, "sha256", &sha256, err);
		if (r < 0)
			return r;
		if (!kc_is_sha256(sha256))
			return kc_fail(err, KC_EINVAL, "%s: %s has no SHA-256", file, url);
		json_object_set_new(u->given, url, json_string(sha256));
	}
	return 0;
}

static int read_sources(const char *path, json_t **ret, struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_free_ char *file = kc_expand_home(path), *text = NULL;
	size_t len;
	int r = kc_file_read(file, KC_BUNDLE_JSON_MAX, &text, &len, err);

	if (r == 0)
		r = kc_yaml_parse(file, text, len, &y, err);
	if (r < 0)
		return r;
	*ret = json_deep_copy(kc_yaml_value(y, 0));
	return 0;
}

int kc_upstream_open(struct kc_parts *p, const struct kc_bundle_build *o, struct kc_upstream **ret,
		     struct kc_err *err)
{
	_cleanup_upstream_ struct kc_upstream *u = xcalloc(1, sizeof(*u));
	struct kc_fetch_conf conf = { .authfile = o->authfile, .cancel = o->cancel };
	json_auto_t *all = NULL, *mirrors = NULL;
	int r;

	u->p = p;
	u->sources = json_array();
	u->cache = xasprintf("%s/upstream", p->cache);
	r = o->sources ? read_sources(o->sources, &all, err) : kc_pins_load(&all, err);
	if (r == 0 && o->mirrors)
		r = kc_fetch_mirrors(o->mirrors, &mirrors, err);
	if (r == 0 && o->pins)
		r = read_given(u, o->pins, err);
	conf.mirrors = mirrors;
	if (r == 0)
		r = kc_fetch_new(&conf, &u->f, err);
	if (r == 0)
		r = kc_mkdir_p(u->cache, 0755, err);
	if (r < 0)
		return r;
	u->doc = json_incref(json_object_get(all, "upstream"));
	if (!json_is_object(u->doc))
		return kc_fail(err, KC_EINVAL, "%s: no section upstream", o->sources);
	*ret = TAKE(u);
	return 0;
}

const json_t *kc_upstream_sources(const struct kc_upstream *u)
{
	return u->sources;
}

/* {version}, {arch} and {file} replaced. Owned. */
static char *expand(const struct kc_upstream *u, const char *text, const char *version,
		    const char *file)
{
	const char *const names[] = { "{version}", "{arch}", "{file}" };
	const char *const values[] = { version, u->p->arch, file };
	_cleanup_buf_ struct kc_buf out = { 0 };

	while (*text) {
		size_t i = 0;

		while (i < ARRAY_SIZE(names) && !kc_startswith(text, names[i]))
			i++;
		if (i < ARRAY_SIZE(names)) {
			kc_buf_puts(&out, values[i]);
			text += strlen(names[i]);
		} else {
			kc_buf_putn(&out, text++, 1);
		}
	}
	return kc_buf_steal(&out);
}

/*
 * The hash of a file in what its project publishes: "HASH", or lines "HASH  NAME" and "HASH *NAME",
 * perhaps with a signature around them.
 */
int kc_upstream_checksum(const char *text, const char *name, char out[KC_SHA256_HEX])
{
	bool found = false;

	for (const char *p = text; *p;) {
		size_t line = strcspn(p, "\n"), n = strcspn(p, " \t\r\n");
		_cleanup_free_ char *hash = xstrndup(p, n), *rest = NULL;
		char *is, *end;

		rest = xstrndup(p + n, line - n);
		p += line + (p[line] == '\n');
		for (char *c = hash; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		is = rest + strspn(rest, " \t*");
		for (end = is + strlen(is); end > is && strchr(" \t\r", end[-1]); end--)
			end[-1] = '\0';
		if (strrchr(is, '/'))
			is = strrchr(is, '/') + 1;
		if (!kc_is_sha256(hash) || (*is && !streq(is, name)))
			continue;
		if (found && !streq(out, hash))
			return KC_ECONFLICT;
		memcpy(out, hash, KC_SHA256_HEX);
		found = true;
	}
	return found ? 0 : KC_ENOTFOUND;
}

static int published(struct kc_upstream *u, const char *url, const char *checksum,
		     char out[KC_SHA256_HEX], struct kc_err *err)
{
	_cleanup_fetch_reply_ struct kc_fetch_reply reply = { 0 };
	int r = kc_fetch_do(u->f, &(struct kc_fetch_req){ .url = checksum, .max = 1 << 20 }, &reply,
			    err);

	if (r < 0)
		return r;
	r = kc_upstream_checksum(reply.text, strrchr(url, '/') + 1, out);
	if (r < 0)
		return kc_fail(err, KC_EINVAL, "%s: %s for %s", checksum,
			       r == KC_ECONFLICT ? "two checksums" : "no checksum",
			       strrchr(url, '/') + 1);
	return 0;
}

/* What is pinned for a URL or an image: 1 and its hash, 0: nothing. */
static int pinned(struct kc_upstream *u, const char *url, char out[KC_SHA256_HEX],
		  const char **ret_trust, struct kc_err *err)
{
	const char *built = kc_json_get_str(json_object_get(u->doc, "pins"), url, NULL);
	const char *given = kc_json_get_str(u->given, url, NULL), *pin = built ? built : given;

	if (built && given && !streq(built, given))
		return kc_fail(err, KC_EAUTH, "%s is %s in %s, but it is pinned to %s here", url,
			       given, u->given_path, built);
	if (!pin && u->given)
		return kc_fail(err, KC_EAUTH, "%s has nothing for %s, which is not pinned here",
			       u->given_path, url);
	if (!pin)
		return 0;
	if (!kc_is_sha256(pin))
		return kc_fail(err, KC_EINVAL, "the pin of %s is not a SHA-256: %.80s", url, pin);
	memcpy(out, pin, KC_SHA256_HEX);
	*ret_trust = built ? "built-in" : "pins";
	return 1;
}

static void note(struct kc_upstream *u, const char *url, const char *sha256, const char *trust)
{
	json_array_append_new(u->sources, kc_pack("{s:s, s:s, s:s}", "url", url, "sha256", sha256,
						  "trust", trust));
}

/* A file from its URL, in the cache by its hash. */
static int get(struct kc_upstream *u, const char *url, const char *checksum, char **ret_path,
	       struct kc_err *err)
{
	char sha256[KC_SHA256_HEX], have[KC_SHA256_HEX];
	_cleanup_free_ char *path = NULL, *tmp = NULL;
	const char *trust = "published";
	int r = pinned(u, url, sha256, &trust, err);

	if (r == 0)
		r = published(u, url, checksum, sha256, err);
	if (r < 0)
		return r;
	path = xasprintf("%s/%s", u->cache, sha256);
	if (!kc_exists(path) || kc_sha256_file(path, have, NULL, NULL) < 0 ||
	    !streq(have, sha256)) {
		kc_parts_say(u->p, "fetching %s", url);
		tmp = xasprintf("%s.new", path);
		r = kc_fetch_do(u->f,
				&(struct kc_fetch_req){ .url = url,
							.path = tmp,
							.sha256 = sha256,
							.max = KC_BUNDLE_FILE_MAX },
				NULL, err);
		if (r < 0)
			return r;
		if (rename(tmp, path) < 0)
			return kc_fail_errno(err, errno, "%s", path);
	}
	note(u, url, sha256, trust);
	*ret_path = TAKE(path);
	return 0;
}

/* ELF (its header: bytes 0-3, class at 4, machine at 18) of the bundle's architecture? */
static int check_program(const struct kc_upstream *u, const char *path, const char *what,
			 struct kc_err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char h[20] = { 0 };
	int machine = streq(u->p->arch, "arm64") ? 183 : 62;

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	if (read(fd, h, sizeof(h)) != sizeof(h) || memcmp(h, "\177ELF\2\1", 6) != 0 ||
	    h[18] + 256 * h[19] != machine)
		return kc_fail(err, KC_EINVAL, "%s is not a program for linux/%s", what,
			       u->p->arch);
	return 0;
}

/*
 * A program that is a link in a compiled bundle is one here, too, to a file of another name: so a
 * cluster may go from one kind of bundle to the other, and the link's target is all that changes.
 */
static bool is_link(const json_t *part, const char *name)
{
	const json_t *program;
	size_t i;

	json_array_foreach(json_object_get(part, "programs"), i, program)
		if (kc_json_has_str(json_object_get(program, "links"), name))
			return true;
	return false;
}

/* Where the parts of one component go. */
struct into {
	const json_t *part;
	const char *tmp, *blobs;
	json_t *entry;
};

/* One program into the component: from is its file, or the archive that has it as member. */
static int add_program(struct kc_upstream *u, const struct into *to, const char *from,
		       const char *member, const char *name, struct kc_err *err)
{
	bool link = is_link(to->part, name);
	_cleanup_free_ char *path = xasprintf("%s%s", link ? "upstream-" : "", name);
	const char *base = strrchr(path, '/');
	_cleanup_free_ char *file = xasprintf("%s/%s", to->tmp, base ? base + 1 : path);
	json_auto_t *blob = kc_pack("{s:s, s:s}", "path", path, "mode", "0755");
	int r = member ? kc_archive_take(from, member, file, KC_BUNDLE_FILE_MAX, err)
		       : kc_bundle_link(from, file, err);

	if (r == 0)
		r = check_program(u, file, name, err);
	if (r == 0)
		r = kc_part_pack(u->p, file, to->blobs, blob, err);
	unlink(file);
	if (r < 0)
		return r;
	json_array_append(json_object_get(to->entry, "blobs"), blob);
	if (link && !json_object_get(to->entry, "links"))
		json_object_set_new(to->entry, "links", json_object());
	if (link)
		json_object_set_new(json_object_get(to->entry, "links"), name, json_string(path));
	return 0;
}

static int add_programs(struct kc_upstream *u, const struct into *to, const json_t *source,
			const char *version, struct kc_err *err)
{
	const json_t *members = json_object_get(source, "members"), *v;
	const char *url = kc_json_get_str(source, "url", ""), *path;
	const char *sum = kc_json_get_str(source, "checksum", "");
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(source, "files"), i, v) {
		_cleanup_free_ char *u1 = expand(u, url, version, json_string_value(v));
		_cleanup_free_ char *c1 = expand(u, sum, version, json_string_value(v));
		_cleanup_free_ char *from = NULL;

		r = get(u, u1, c1, &from, err);
		if (r == 0)
			r = add_program(u, to, from, NULL, json_string_value(v), err);
		if (r < 0)
			return r;
	}
	if (members) {
		_cleanup_free_ char *u1 = expand(u, url, version, "");
		_cleanup_free_ char *c1 = expand(u, sum, version, ""), *from = NULL;

		r = get(u, u1, c1, &from, err);
		json_object_foreach((json_t *)members, path, v) {
			_cleanup_free_ char *m = expand(u, json_string_value(v), version, "");

			if (r == 0)
				r = add_program(u, to, from, m, path, err);
		}
	}
	return r;
}

static int find_source(const struct kc_upstream *u, const char *section, const char *name,
		       const json_t **ret, struct kc_err *err)
{
	*ret = json_object_get(json_object_get(u->doc, section), name);
	return *ret ? 0
		    : kc_fail(err, KC_EINVAL, "upstream.%s has no %s in components.yaml", section,
			      name);
}

int kc_upstream_component(struct kc_upstream *u, const json_t *part, const char *tmp,
			  const char *blobs, json_t *components, struct kc_err *err)
{
	const char *name = kc_json_get_str(part, "name", "");
	const char *version = kc_json_get_str(part, "version", "");
	json_auto_t *entry = kc_pack("{s:s, s:s, s:[]}", "name", name, "version", version, "blobs");
	struct into to = { .part = part, .tmp = tmp, .blobs = blobs, .entry = entry };
	const json_t *source = NULL;
	int r = kc_parts_canceled(u->p, err);

	if (r == 0)
		r = find_source(u, "components", name, &source, err);
	if (r == 0)
		r = add_programs(u, &to, source, version, err);
	if (r < 0)
		return kc_wrap(err, "%s %s", name, version);
	json_array_append(components, entry);
	return 0;
}

/* The image as a registry has it; its name with the digest is pinned, or the tag is believed. */
static int pull(struct kc_upstream *u, const char *ref, json_t **ret, struct kc_err *err)
{
	char sha256[KC_SHA256_HEX];
	_cleanup_free_ char *exact = NULL;
	const char *trust = "tag";
	int r = pinned(u, ref, sha256, &trust, err);

	if (r == 1)
		exact = xasprintf("%s@sha256:%s", ref, sha256);
	kc_parts_say(u->p, "fetching image %s", ref);
	if (r >= 0)
		r = kc_registry_pull(u->f, exact ? exact : ref, u->p->arch, u->cache, ret, err);
	if (r < 0)
		return r;
	note(u, ref, kc_json_get_str(*ret, "digest", "sha256:") + 7, trust);
	return 0;
}

int kc_upstream_image(struct kc_upstream *u, const json_t *image, const char *tmp,
		      const char *blobs, json_t *images, struct kc_err *err)
{
	const char *name = kc_json_get_str(image, "name", ""), *version;
	_cleanup_free_ char *tar = xasprintf("%s/%s.tar", tmp, name), *ref = NULL;
	json_auto_t *entry = json_object(), *pulled = NULL;
	const json_t *source = NULL;
	int r = kc_parts_canceled(u->p, err);

	if (r == 0)
		r = find_source(u, "images", name, &source, err);
	if (r < 0)
		return r;
	version = kc_json_get_str(source, "version", kc_json_get_str(image, "version", ""));
	ref = expand(u, kc_json_get_str(source, "ref", ""), version, "");
	r = pull(u, ref, &pulled, err);
	if (r == 0)
		r = kc_image_layout(u->p, name, version, pulled, u->cache, tar, entry, err);
	if (r == 0)
		r = kc_part_pack(u->p, tar, blobs, entry, err);
	unlink(tar);
	if (r < 0)
		return kc_wrap(err, "image %s", name);
	json_object_set_new(entry, "layer", json_string(kc_json_get_str(image, "layer", "core")));
	json_object_set(images, name, entry);
	return 0;
}
