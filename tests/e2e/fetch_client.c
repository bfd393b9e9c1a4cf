/* Drives lib/net/fetch and registry for test_registry.py: see lines.h. */
#include "lib/net/registry.h"
#include "tests/e2e/lines.h"

static int open_fetch(const json_t *a, struct kc_fetch **ret, struct kc_err *err)
{
	return kc_fetch_new(&(struct kc_fetch_conf){ .mirrors = json_object_get(a, "mirrors"),
						     .authfile =
							     kc_json_get_str(a, "authfile", NULL) },
			    ret, err);
}

static int pull(void *cookie, const json_t *a, json_t **ret, struct kc_err *err)
{
	_cleanup_fetch_ struct kc_fetch *f = NULL;
	int r = open_fetch(a, &f, err);

	return r < 0 ? r
		     : kc_registry_pull(f, kc_json_get_str(a, "ref", ""),
					kc_json_get_str(a, "arch", "amd64"),
					kc_json_get_str(a, "dir", ""), ret, err);
}

static int get(void *cookie, const json_t *a, json_t **ret, struct kc_err *err)
{
	_cleanup_fetch_reply_ struct kc_fetch_reply reply = { 0 };
	_cleanup_fetch_ struct kc_fetch *f = NULL;
	int r = open_fetch(a, &f, err);

	if (r == 0)
		r = kc_fetch_do(f,
				&(struct kc_fetch_req){
					.url = kc_json_get_str(a, "url", ""),
					.path = kc_json_get_str(a, "path", NULL),
					.sha256 = kc_json_get_str(a, "sha256", NULL),
					.max = (uint64_t)kc_json_get_int(a, "max", 0) },
				&reply, err);
	if (r == 0)
		*ret = kc_pack("{s:I, s:s, s:s?}", "len", (json_int_t)reply.len, "sha256",
			       reply.sha256, "text", reply.text);
	return r;
}

int main(void)
{
	static const struct lines_verb verbs[] = { { "pull", pull }, { "get", get } };

	json_object_seed(0);
	lines_say(0, NULL, NULL);
	lines_serve(verbs, ARRAY_SIZE(verbs), NULL);
	return 0;
}
