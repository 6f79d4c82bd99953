#include "lb/end.h"

const struct end_kind end_kinds[] = {
#define END_KIND(name, word, counter, text) [END_##name] = {word, counter, {text, sizeof(text) - 1}},
        EXCHANGE_ENDS(END_KIND)
#undef END_KIND
};
