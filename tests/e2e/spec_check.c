/*
 * The driver of test_schema.py: checks documents against the tables, and nothing but the tables.
 * A line of JSON in, {"kind", "document"}; a line out, "ok" or the first thing that is wrong.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/config.h"
#include "lib/codec/json.h"

static void answer(const char *line)
{
	json_auto_t *in = json_loads(line, 0, NULL), *out = NULL;
	const struct kc_spec_kind *kind =
		kc_spec_kind_find(kc_cli_kinds(), kc_json_get_str(in, "kind", ""));
	_cleanup_report_ struct kc_report rep = { 0 };
	struct kc_err err;

	if (!kind)
		abort();
	if (kc_spec_validate(kind->fields, json_object_get(in, "document"), &rep, &out, &err) < 0)
		puts(rep.first);
	else
		puts("ok");
	fflush(stdout);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0)
		answer(line);
	free(line);
	return 0;
}
