/* Any bytes as an agent's output, once whole and once in pieces: both ways it says the same. */
#include "bootstrap/agent_lines.h"
#include "tests/fuzz/fuzz.h"

static unsigned events;

static void on_progress(const struct kc_task *task, const json_t *event)
{
	must(json_is_object(event));
	events++;
}

/* step 0: all at once */
static void feed(struct kc_agent_lines *l, const char *data, size_t size, size_t step)
{
	struct kc_err err = { 0 };

	for (size_t at = 0; at < size || at == 0;) {
		size_t n = step && size - at > step ? step : size - at;

		if (failed(kc_agent_lines_add(l, data + at, n, &err), &err) || !n)
			return;
		at += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kc_task task = { .id = "node/w1", .progress = on_progress };
	struct kc_agent_lines whole = { .task = &task }, pieces = { .task = &task };
	unsigned before;

	events = 0;
	feed(&whole, (const char *)data, size, 0);
	before = events;
	feed(&pieces, (const char *)data, size, 1 + size % 7);
	must(events == 2 * before && whole.failed == pieces.failed);
	must(!whole.last == !pieces.last && (!whole.last || json_equal(whole.last, pieces.last)));
	if (whole.failed)
		must(whole.error.code < 0 && whole.error.code >= KC_ECANCELED &&
		     whole.error.code == pieces.error.code);
	json_decref(whole.last);
	json_decref(pieces.last);
	kc_buf_done(&whole.buf);
	kc_buf_done(&pieces.buf);
	return 0;
}
