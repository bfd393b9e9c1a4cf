/*
 * Formats of the record and of the journal's segments.
 *
 *   1  secrets as {"secret", "hmac"}, the HMAC under a key that could be guessed
 *   2  secrets as {"secret", "version", "hmac"} under the operator's key; the record has its uid
 */
#include "lib/codec/json.h"
#include "lib/plan/state.h"

/* The old HMACs can be compared with nothing any more, and may tell too much: they go. */
static void number_secrets(json_t *v)
{
	const char *key;
	json_t *m;
	size_t i;

	if (json_is_array(v)) {
		json_array_foreach(v, i, m)
			number_secrets(m);
		return;
	}
	if (json_is_string(json_object_get(v, "secret")) &&
	    json_is_string(json_object_get(v, "hmac")) && json_object_size(v) == 2) {
		json_object_del(v, "hmac");
		json_object_set_new(v, "version", json_integer(1));
		return;
	}
	json_object_foreach(v, key, m)
		number_secrets(m);
}

static int record_to_2(json_t *record, const char *owner, struct kc_err *err)
{
	number_secrets(json_object_get(record, "tasks"));
	if (owner && !json_object_get(record, "uid"))
		json_object_set_new(record, "uid", json_string(owner));
	return 0;
}

static int journal_to_2(json_t *segment, const char *owner, struct kc_err *err)
{
	number_secrets(json_object_get(segment, "entries"));
	if (owner && !json_object_get(segment, "uid"))
		json_object_set_new(segment, "uid", json_string(owner));
	return 0;
}

static kc_format_step *const record_steps[] = { record_to_2 };
static kc_format_step *const journal_steps[] = { journal_to_2 };

const struct kc_format kc_record_format = { .name = "record", .current = 2, .steps = record_steps };
const struct kc_format kc_journal_format = { .name = "journal",
					     .current = 2,
					     .steps = journal_steps };
