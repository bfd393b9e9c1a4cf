/*
 * Giving a name up, in two steps: the mark says since when it is to go, and everything is answered
 * as before; once all caches have seen the mark's whole time, twice, it goes. Whoever wants the
 * name back until then applies the policy again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dns/policy.h"
#include "dns/publish_priv.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

/* What the mark says, and when the rest may go; 0: it says nothing yet. */
static int64_t due_at(const json_t *mark)
{
	int64_t since = kc_policy_mark_since(
		json_string_value(json_array_get(json_object_get(mark, "data"), 0)));

	return since ? since + 2 * kc_json_get_int(mark, "ttl", 0) : 0;
}

/* before, with a mark that says so. */
static json_t *announced(const struct kc_publish *p, const json_t *before, const char *mark_name,
			 int64_t now)
{
	json_t *out = json_array(), *one;
	size_t i;

	json_array_foreach((json_t *)before, i, one)
		if (!streq(kc_json_get_str(one, "name", ""), mark_name))
			json_array_append(out, one);
	json_array_append_new(out, kc_policy_mark(p->policy, now));
	return out;
}

json_t *publish_gone(struct kc_publish *p, const json_t *before, json_t *notes)
{
	_cleanup_free_ char *name = kc_policy_name(p->policy), *note = NULL,
			    *mark_name = kc_policy_mark_name(p->policy);
	const json_t *mark = kc_dns_rrset_find(before, mark_name, "TXT");
	int64_t now = (int64_t)time(NULL), due = mark ? due_at(mark) : 0;

	if (!mark || (due && due <= now))
		return json_array();
	if (due) {
		note = xasprintf("%s is answered for %" PRId64
				 " s more; the same command after that "
				 "takes it out",
				 name, due - now);
		p->due_s = due - now > p->due_s ? due - now : p->due_s;
		json_array_append_new(notes, json_string(note));
		return json_deep_copy(before);
	}
	due = 2 * kc_json_get_int(mark, "ttl", 0);
	note = xasprintf("%s is marked to go, and answered for %" PRId64
			 " s more: the same command "
			 "after that takes it out, `kubecdn dns apply` keeps it",
			 name, due);
	p->due_s = due > p->due_s ? due : p->due_s;
	json_array_append_new(notes, json_string(note));
	return announced(p, before, mark_name, now);
}

int64_t kc_publish_due(const struct kc_publish *p)
{
	return p->due_s;
}
