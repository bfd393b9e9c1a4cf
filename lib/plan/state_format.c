/* Formats of the record and of the journal's segments. */
#include "lib/plan/state.h"

const struct kc_format kc_record_format = { .name = "record", .current = 1 };
const struct kc_format kc_journal_format = { .name = "journal", .current = 1 };
