/* A store in memory, for harnesses of what is stored. */
#ifndef KC_TESTS_FUZZ_MEM_STORE_H
#define KC_TESTS_FUZZ_MEM_STORE_H

#include <stdio.h>

#include "lib/store/store.h"

struct mem_store {
	struct kc_store base;
	struct {
		char key[80], *data;
		size_t len;
		unsigned version;
	} file[8];
};

static inline int mem_at(struct kc_store *s, const char *key)
{
	struct mem_store *m = (struct mem_store *)s;

	for (size_t i = 0; i < ARRAY_SIZE(m->file); i++)
		if (m->file[i].data && streq(m->file[i].key, key))
			return (int)i;
	return -1;
}

static inline int mem_get(struct kc_store *s, const char *key, char **ret, size_t *ret_len,
			  char etag[KC_STORE_ETAG], struct kc_err *err)
{
	struct mem_store *m = (struct mem_store *)s;
	int i = mem_at(s, key);

	if (i < 0)
		return kc_fail(err, KC_ENOTFOUND, "absent");
	*ret = xstrndup(m->file[i].data, m->file[i].len);
	*ret_len = m->file[i].len;
	snprintf(etag, KC_STORE_ETAG, "%u", m->file[i].version);
	return 0;
}

static inline int mem_put(struct kc_store *s, const char *key, const void *data, size_t len,
			  const char *if_match, char etag[KC_STORE_ETAG], struct kc_err *err)
{
	struct mem_store *m = (struct mem_store *)s;
	int i = mem_at(s, key);

	for (size_t k = 0; i < 0; k++) {
		must(k < ARRAY_SIZE(m->file));
		if (!m->file[k].data)
			i = (int)k;
	}
	snprintf(m->file[i].key, sizeof(m->file[i].key), "%s", key);
	free(m->file[i].data);
	m->file[i].data = xmalloc(len + 1);
	memcpy(m->file[i].data, data, len);
	m->file[i].data[len] = '\0';
	m->file[i].len = len;
	m->file[i].version++;
	snprintf(etag, KC_STORE_ETAG, "%u", m->file[i].version);
	return 0;
}

static inline int mem_list(struct kc_store *s, const char *prefix, json_t **ret, struct kc_err *err)
{
	struct mem_store *m = (struct mem_store *)s;

	*ret = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(m->file); i++)
		if (m->file[i].data && kc_startswith(m->file[i].key, prefix))
			json_array_append_new(*ret, json_string(m->file[i].key));
	return 0;
}

static inline int mem_remove(struct kc_store *s, const char *key, const char *if_match,
			     struct kc_err *err)
{
	struct mem_store *m = (struct mem_store *)s;
	int i = mem_at(s, key);

	if (i >= 0) {
		free(m->file[i].data);
		m->file[i].data = NULL;
	}
	return 0;
}

static const struct kc_store_type mem_type = {
	.scheme = "mem",
	.get = mem_get,
	.put = mem_put,
	.list = mem_list,
	.remove = mem_remove,
};

static inline void mem_store_done(struct mem_store *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(m->file); i++)
		free(m->file[i].data);
}

#endif
