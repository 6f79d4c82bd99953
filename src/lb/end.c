#include "lb/end.h"

#include <stdio.h>

#include "engine/service.h"
#include "http/head.h"

#define COUNTER_requests_none COUNTER_COUNT

const struct end_kind end_kinds[] = {
#define END_KIND(name, word, sort, counter, text, help)                                                      \
	[END_##name] = {word, COUNTER_requests_##sort, counter, {text, sizeof(text) - 1}, help},
        EXCHANGE_ENDS(END_KIND)
#undef END_KIND
};
enum { END_KINDS = sizeof(end_kinds) / sizeof(end_kinds[0]), HELP_BYTES = 256 };

void ends_tell(void (*tell)(void *arg, const char *word, const char *help), void *arg)
{
	char help[HELP_BYTES];

	for (size_t i = 0; i < END_KINDS; i++)
		if (end_kinds[i].help[0])
			tell(arg, end_kinds[i].word, end_kinds[i].help);
	for (unsigned i = HTTP_OK + 1; i < HTTP_FAULT_COUNT; i++) {
		if (!http_fault_is_clients((enum http_fault)i))
			continue;
		snprintf(help, sizeof(help), "%d: %s", http_fault_status((enum http_fault)i),
		        http_fault_help((enum http_fault)i));
		tell(arg, http_fault_word((enum http_fault)i), help);
	}
	for (unsigned i = 0; i < REFUSAL_COUNT; i++) {
		if (i == REFUSAL_NO_MEMORY)
			continue; /* the exchange's own */
		snprintf(help, sizeof(help), "%d: %s", refusal_reply((enum refusal)i).status,
		        refusal_help((enum refusal)i));
		tell(arg, refusal_word((enum refusal)i), help);
	}
}
