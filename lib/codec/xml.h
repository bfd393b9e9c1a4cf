/*
 * XML over expat, as APIs speak it: elements to json_t by a small table of shapes, and back.
 *
 *	text --kc_xml_parse(shapes)--> {"Root": {"Name": "x", "Count": 3, "Items": ["a", "b"]}}
 *	{"Items": {"Item": ["a", "b"]}} --kc_xml_write-->
 *<Items><Item>a</Item><Item>b</Item></Items>
 *
 * Parsing is for replies of others: at most 16 MB, 64 levels and 500,000
 * elements; document types (and so entities) are refused; what does not fit its
 * shape is an error with its line. Attributes (xmlns) are not looked at.
 * What comes through ret_ is the caller's.
 */
#ifndef KC_CODEC_XML_H
#define KC_CODEC_XML_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Names of elements, NULL-terminated each, or NULL. */
struct kc_xml_shapes {
	const char *const *lists;    /* their members' names mean nothing; always an array */
	const char *const *integers; /* decimal, 64 bits */
	const char *const *booleans; /* "true" or "false" */
};

/*
 * {root's name: its value}. An element with elements inside is an object, any other one a string:
 * an empty one is "", whatever it should have held. What the table does not know is kept in the
 * same way; elements of one name that repeat where no list is expected are an array, so that a
 * provider's new lists do no harm and a repeated string is no string. KC_EFAIL: "what: line N:
 * why".
 */
int kc_xml_parse(const char *text, size_t len, const struct kc_xml_shapes *shapes, const char *what,
		 json_t **ret, struct kc_err *err);

/*
 * <name>value</name>. Objects give elements in the order in which they were set, arrays repeat
 * theirs, null gives none. KC_EINVAL: a character that XML cannot say.
 */
int kc_xml_write(struct kc_buf *b, const char *name, const json_t *value, struct kc_err *err);

#endif
