/*
 * Images without a registry or a container engine: a tar of an OCI image layout (image-spec v1.1)
 * with one uncompressed layer; the blob it is stored in is compressed as a whole.
 */
#include "bootstrap/bundle/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/archive.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

#define PATH_ENV "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The layer's content: name in the image -> {"src": file} or {"link": target}. */
static void add_src(json_t *files, const char *name, const char *src)
{
	while (*name == '/')
		name++;
	json_object_set_new(files, name, kc_pack("{s:s}", "src", src));
}

/* The Debian package that owns a file, or NULL. Merged /usr: dpkg may know either name. Owned. */
static char *owner_of(const char *path)
{
	_cleanup_free_ char *usr = xasprintf("/usr%s", path);
	const char *names[] = { path, usr, kc_startswith(path, "/usr") ? path + 4 : path };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *out = NULL;

		if (kc_runl(&out, NULL, "dpkg-query", "-S", names[i], NULL) == 0)
			return xstrndup(out, strcspn(out, ":\n"));
	}
	return NULL;
}

/* The file and its package's licence. */
static int add_debian_file(json_t *files, const char *path, struct kc_err *err)
{
	_cleanup_free_ char *package = owner_of(path), *licence = NULL;

	if (!package)
		return kc_fail(err, KC_ENOTFOUND, "%s: not a file of a Debian package", path);
	add_src(files, path, path);
	licence = xasprintf("/usr/share/doc/%s/copyright", package);
	if (!kc_exists(licence))
		return kc_fail(err, KC_ENOTFOUND, "%s: no licence text at %s", path, licence);
	add_src(files, licence, licence);
	return 0;
}

/* ldd's lines are "\tlibx.so.1 => /path (0x…)" or "\t/lib64/ld-linux… (0x…)". */
static int add_libraries(json_t *files, const char *path, struct kc_err *err)
{
	_cleanup_free_ char *out = NULL;
	const char *argv[] = { "ldd", path, NULL };
	char *save = NULL;
	int r;

	/* A static program: ldd fails and says so. */
	if (kc_run(&(struct kc_run){ .argv = argv, .merge = true }, &out, NULL) < 0) {
		if (out && (strstr(out, "not a dynamic") || strstr(out, "statically")))
			return 0;
		return kc_fail(err, KC_EFAIL, "ldd %s failed: %.200s", path, out ? out : "");
	}
	for (char *line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *lib = strchr(line, '/'), *end;

		if (strstr(line, "not found"))
			return kc_fail(err, KC_ENOTFOUND, "%s: a library is missing:%s", path,
				       line);
		if (!lib)
			continue;
		end = strstr(lib, " (");
		if (end)
			*end = '\0';
		r = add_debian_file(files, lib, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_debian(const json_t *image, json_t *files, struct kc_err *err)
{
	const json_t *paths = json_object_get(image, "debian"), *v;
	size_t i;
	int r;

	json_array_foreach(paths, i, v) {
		const char *path = json_string_value(v);

		if (!kc_exists(path))
			return kc_fail(err, KC_ENOTFOUND,
				       "%s is missing on this host: install Debian's %s", path,
				       kc_endswith(path, "busybox") ? "busybox-static"
								    : "nftables");
		r = add_debian_file(files, path, err);
		if (r == 0)
			r = add_libraries(files, path, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One link in /bin for each command of busybox. */
static int add_applets(const json_t *image, json_t *files, struct kc_err *err)
{
	const char *path = kc_json_get_str(image, "applets", NULL);
	_cleanup_free_ char *out = NULL;
	char *save = NULL;
	int r;

	if (!path)
		return 0;
	r = kc_runl(&out, err, path, "--list", NULL);
	if (r < 0)
		return r;
	for (char *a = strtok_r(out, "\n", &save); a; a = strtok_r(NULL, "\n", &save)) {
		_cleanup_free_ char *name = xasprintf("bin/%s", a);

		if (!json_object_get(files, name))
			json_object_set_new(files, name, kc_pack("{s:s}", "link", path));
	}
	return 0;
}

static int list_files(const json_t *image, const char *dir, json_t *files, struct kc_err *err)
{
	const json_t *program;
	size_t i;
	int r;

	json_array_foreach(json_object_get(image, "programs"), i, program) {
		const char *path = kc_json_get_str(program, "path", "");
		_cleanup_free_ char *src = xasprintf("%s/%s", dir, path);

		add_src(files, path, src);
	}
	if (json_object_get(image, "compile")) {
		_cleanup_free_ char *src = xasprintf("%s/pause", dir);

		add_src(files, "pause", src);
	}
	r = add_debian(image, files, err);
	return r < 0 ? r : add_applets(image, files, err);
}

static int add_sorted(struct kc_tar *t, const json_t *files, struct kc_err *err)
{
	size_t n;
	_cleanup_free_ const char **names = kc_json_keys(files, &n);
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const json_t *v = json_object_get(files, names[i]);
		const char *src = kc_json_get_str(v, "src", NULL);
		const char *link = kc_json_get_str(v, "link", NULL);

		if (link)
			r = kc_tar_add_link(t, names[i], link, err);
		else
			r = kc_tar_add_file(t, names[i], src,
					    kc_endswith(names[i], "/copyright") ? 0644 : 0755, err);
	}
	return r;
}

static int write_layer(const json_t *files, const char *path, struct kc_err *err)
{
	_cleanup_tar_ struct kc_tar *t = NULL;
	int r;

	r = kc_tar_open(path, &t, err);
	if (r == 0)
		r = add_sorted(t, files, err);
	if (r == 0)
		r = kc_tar_add_dir(t, "tmp", 01777, err);
	return r < 0 ? r : kc_tar_close(TAKE(t), err);
}

static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

/* A descriptor as the layout's JSON has it. */
static json_t *descriptor(const char *type, const char *sha256, size_t size)
{
	_cleanup_free_ char *media = xasprintf("application/vnd.oci.image.%s", type);
	_cleanup_free_ char *digest = xasprintf("sha256:%s", sha256);

	return kc_pack("{s:s, s:s, s:I}", "mediaType", media, "digest", digest, "size",
		       (json_int_t)size);
}

static char *config_text(const struct kc_parts *p, const json_t *image, const char *layer_sha)
{
	_cleanup_free_ char *diff = xasprintf("sha256:%s", layer_sha);
	const char *user = kc_json_get_str(image, "user", NULL);
	json_auto_t *config =
		kc_pack("{s:s, s:s, s:{s:[s], s:O, s:s}, s:{s:s, s:[s]}}", "architecture", p->arch,
			"os", "linux", "config", "Env", PATH_ENV, "Entrypoint",
			json_object_get(image, "entrypoint"), "WorkingDir", "/", "rootfs", "type",
			"layers", "diff_ids", diff);

	if (user)
		json_object_set_new(json_object_get(config, "config"), "User", json_string(user));
	return kc_json_text(config);
}

/*
 * Two names for the one manifest: by tag for people, by digest because that is what the manifests
 * ask for and the runtime looks up (a name with both has its tag ignored).
 */
static char *index_text(const struct kc_parts *p, const char *name, const char *version,
			const json_t *manifest)
{
	_cleanup_free_ char *by_tag = xasprintf("kubecdn.io/%s:%s", name, version);
	_cleanup_free_ char *by_digest =
		xasprintf("kubecdn.io/%s@%s", name, kc_json_get_str(manifest, "digest", ""));
	const char *names[] = { by_tag, by_digest };
	json_auto_t *index = kc_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType",
				     "application/vnd.oci.image.index.v1+json", "manifests");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		json_t *d = json_copy((json_t *)manifest);

		json_object_set_new(d, "platform",
				    kc_pack("{s:s, s:s}", "architecture", p->arch, "os", "linux"));
		json_object_set_new(d, "annotations",
				    kc_pack("{s:s, s:s}", "io.containerd.image.name", names[i],
					    "org.opencontainers.image.ref.name", version));
		json_array_append_new(json_object_get(index, "manifests"), d);
	}
	return kc_json_text(index);
}

static int put_blob(struct kc_tar *t, const char *sha, const char *text, struct kc_err *err)
{
	_cleanup_free_ char *name = xasprintf("blobs/sha256/%s", sha);

	return kc_tar_add_data(t, name, text, strlen(text), 0644, err);
}

static void say_name(json_t *entry, const char *name, const char *version, const json_t *manifest)
{
	json_object_set_new(entry, "ref", json_sprintf("kubecdn.io/%s:%s", name, version));
	json_object_set(entry, "digest", json_object_get(manifest, "digest"));
}

static int write_layout(const struct kc_parts *p, const json_t *image, const char *layer,
			const char *path, json_t *entry, struct kc_err *err)
{
	const char *name = kc_json_get_str(image, "name", ""),
		   *version = kc_json_get_str(image, "version", "");
	char layer_sha[KC_SHA256_HEX], config_sha[KC_SHA256_HEX], manifest_sha[KC_SHA256_HEX];
	_cleanup_free_ char *config = NULL, *manifest = NULL, *index = NULL, *layer_name = NULL;
	_cleanup_tar_ struct kc_tar *t = NULL;
	json_auto_t *m = NULL, *desc = NULL;
	uint64_t layer_size;
	int r;

	r = kc_sha256_file(layer, layer_sha, &layer_size, err);
	if (r < 0)
		return r;
	config = config_text(p, image, layer_sha);
	kc_sha256(config, strlen(config), config_sha);
	m = kc_pack("{s:i, s:s, s:o, s:[o]}", "schemaVersion", 2, "mediaType",
		    "application/vnd.oci.image.manifest.v1+json", "config",
		    descriptor("config.v1+json", config_sha, strlen(config)), "layers",
		    descriptor("layer.v1.tar", layer_sha, layer_size));
	manifest = kc_json_text(m);
	kc_sha256(manifest, strlen(manifest), manifest_sha);
	desc = descriptor("manifest.v1+json", manifest_sha, strlen(manifest));
	index = index_text(p, name, version, desc);
	layer_name = xasprintf("blobs/sha256/%s", layer_sha);

	r = kc_tar_open(path, &t, err);
	if (r == 0)
		r = kc_tar_add_data(t, "oci-layout", layout, strlen(layout), 0644, err);
	if (r == 0)
		r = kc_tar_add_data(t, "index.json", index, strlen(index), 0644, err);
	if (r == 0)
		r = put_blob(t, manifest_sha, manifest, err);
	if (r == 0)
		r = put_blob(t, config_sha, config, err);
	if (r == 0)
		r = kc_tar_add_file(t, layer_name, layer, 0644, err);
	if (r == 0)
		r = kc_tar_close(TAKE(t), err);
	if (r < 0)
		return r;
	say_name(entry, name, version, desc);
	return 0;
}

/* A blob of an image that was pulled, once even if the image has it twice. */
static int add_pulled(struct kc_tar *t, const json_t *d, const char *dir, json_t *done,
		      struct kc_err *err)
{
	const char *sha256 = kc_json_get_str(d, "digest", "sha256:") + 7;
	_cleanup_free_ char *src = xasprintf("%s/%s", dir, sha256);
	_cleanup_free_ char *name = xasprintf("blobs/sha256/%s", sha256);

	if (json_object_get(done, sha256))
		return 0;
	json_object_set_new(done, sha256, json_true());
	return kc_tar_add_file(t, name, src, 0644, err);
}

int kc_image_layout(const struct kc_parts *p, const char *name, const char *version,
		    const json_t *pulled, const char *dir, const char *path, json_t *entry,
		    struct kc_err *err)
{
	const json_t *manifest = json_object_get(pulled, "manifest"), *layer;
	_cleanup_free_ char *index = index_text(p, name, version, manifest);
	_cleanup_tar_ struct kc_tar *t = NULL;
	json_auto_t *done = json_object();
	size_t i;
	int r = kc_tar_open(path, &t, err);

	if (r == 0)
		r = kc_tar_add_data(t, "oci-layout", layout, strlen(layout), 0644, err);
	if (r == 0)
		r = kc_tar_add_data(t, "index.json", index, strlen(index), 0644, err);
	if (r == 0)
		r = add_pulled(t, manifest, dir, done, err);
	if (r == 0)
		r = add_pulled(t, json_object_get(pulled, "config"), dir, done, err);
	json_array_foreach(json_object_get(pulled, "layers"), i, layer)
		if (r == 0)
			r = add_pulled(t, layer, dir, done, err);
	if (r == 0)
		r = kc_tar_close(TAKE(t), err);
	if (r == 0)
		say_name(entry, name, version, manifest);
	return r;
}

int kc_image_write(struct kc_parts *p, const json_t *image, const char *dir, const char *path,
		   json_t *entry, struct kc_err *err)
{
	_cleanup_free_ char *layer = xasprintf("%s.layer", path);
	json_auto_t *files = json_object();
	int r;

	r = list_files(image, dir, files, err);
	if (r == 0)
		r = write_layer(files, layer, err);
	if (r == 0)
		r = write_layout(p, image, layer, path, entry, err);
	unlink(layer);
	if (r < 0)
		return kc_wrap(err, "image %s", kc_json_get_str(image, "name", ""));
	return 0;
}
